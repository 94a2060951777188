import Bowser from "bowser";
import { LRUCache } from "lru-cache";
import { DeviceType } from "#gen/waymark/events/v1/touches_pb.ts";
import { type Actor, actorOf } from "./verdict.ts";

/** What a user agent tells. Empty strings are unknown. */
export interface UserAgent {
  type: DeviceType;
  browser: string;
  browserVersion: string;
  platform: string;
  platformVersion: string;
  brand: string;
  actor: Actor;
}

const types: Readonly<Record<string, DeviceType>> = {
  mobile: DeviceType.MOBILE,
  tablet: DeviceType.TABLET,
  desktop: DeviceType.DESKTOP,
};

/** The longest user agent that is looked at and kept. */
export const USER_AGENT_LENGTH = 1024;

const nobody: Actor = { reason: "", name: "" };

/** Of a touch without user agent: a person with an unknown device. */
export const noUserAgent: UserAgent = {
  type: DeviceType.UNSPECIFIED,
  browser: "",
  browserVersion: "",
  platform: "",
  platformVersion: "",
  brand: "",
  actor: nobody,
};

/** The kind of device that a word names: "mobile", "tablet", "desktop"; anything else is unknown. */
export function deviceType(word: string): DeviceType {
  return types[word] ?? DeviceType.UNSPECIFIED;
}

/** Reads a user agent. A program has no device. */
export function parseUserAgent(text: string): UserAgent {
  if (text === "") return noUserAgent;
  const actor = actorOf(text);
  if (actor.reason !== "") return { ...noUserAgent, actor };
  const { browser, os, platform } = Bowser.parse(text);
  return {
    type: deviceType(platform.type ?? ""),
    browser: browser.name ?? "",
    browserVersion: browser.version ?? "",
    platform: os.name ?? "",
    platformVersion: os.version ?? "",
    brand: platform.vendor ?? "",
    actor,
  };
}

/** Reads user agents, and remembers those that were read lately: it is the dearest step of a scan, and few are common. */
export function openUserAgents(): (text: string) => UserAgent {
  const known = new LRUCache<string, UserAgent>({ max: 10_000, maxSize: 4_000_000, sizeCalculation: sizeOf });
  return (text) => {
    if (text === "") return noUserAgent;
    const cut = text.slice(0, USER_AGENT_LENGTH);
    const found = known.get(cut);
    if (found !== undefined) return found;
    const parsed = parseUserAgent(cut);
    known.set(cut, parsed);
    return parsed;
  };
}

function sizeOf(_parsed: UserAgent, text: string): number {
  return text.length + 200;
}
