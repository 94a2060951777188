import { describe, expect, it } from "vitest";
import { DeviceIdentitySetting } from "#gen/waymark/access/v1/authority_pb.ts";
import { decideDevice } from "./decide-device.ts";
import { openUserAgents } from "./device.ts";
import { openIdentities } from "./identity.ts";

const { STABLE, DAILY, UNSPECIFIED } = DeviceIdentitySetting;
const DAY_MS = 86_400_000;
const DAY = 20_000;

const phone = (version: number, mark = "Version") =>
  `Mozilla/5.0 (iPhone; CPU iPhone OS ${version}_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) ${mark}/${version}.4 Mobile/15E148 Safari/604.1`;

const identities = openIdentities(Buffer.alloc(32, 7));
const userAgents = openUserAgents();

/** The pseudonym that intake gives. */
function given(
  signs: { ip?: string; userAgent?: string; deviceId?: string },
  setting: DeviceIdentitySetting = STABLE,
  day = DAY,
): string {
  const all = { ip: "203.0.113.7", userAgent: phone(17), deviceId: "", ...signs };
  return identities.of({ workspace: "w", scannedAt: day * DAY_MS + 5_000, ...all }, setting);
}

/** What is decided of a touch that keeps its address and user agent. */
function decided(
  kept: { deviceId: string; ip?: string; userAgent?: string; day?: number },
  rules: { ignoreVersions?: boolean; devices?: DeviceIdentitySetting },
  workspace = "w",
) {
  const touch = { ip: "203.0.113.7", userAgent: phone(17), day: DAY, ...kept };
  const all = { ignoreVersions: false, devices: UNSPECIFIED, ...rules };
  return decideDevice(touch, { workspace, rules: all, identities, userAgents });
}

describe("versions that are ignored", () => {
  const rules = { ignoreVersions: true };

  it("make one device of a browser before and after its update, and two of two browsers", () => {
    const ids = [phone(17), phone(18), phone(17, "CriOS")].map(
      (userAgent) => decided({ deviceId: given({ userAgent }), userAgent }, rules).deviceId,
    );
    expect(ids[1]).toBe(ids[0]);
    expect(ids[2]).not.toBe(ids[0]);
    expect(ids[0]).toMatch(/^[\w-]{22}$/);
    expect(ids).not.toContain(given({}));
  });

  it("keep addresses, days and workspaces apart", () => {
    const one = decided({ deviceId: given({}) }, rules).deviceId;
    const ip = "203.0.113.8";
    expect(decided({ deviceId: given({ ip }), ip }, rules).deviceId).not.toBe(one);
    const days = [DAY, DAY + 1].map((day) => decided({ deviceId: given({}, DAILY, day), day }, rules).deviceId);
    expect(new Set([one, ...days]).size).toBe(3);
    expect(decided({ deviceId: given({}) }, rules, "v")).toMatchObject({ deviceId: given({}), unknown: true });
  });

  it.each([
    ["of a client", { deviceId: given({ deviceId: "own" }) }],
    ["whose address is not kept", { deviceId: given({}), ip: "" }],
    ["whose address is kept without its end", { deviceId: given({}), ip: "203.0.113.0" }],
    ["whose user agent is not kept", { deviceId: given({}), userAgent: "" }],
    ["of another day", { deviceId: given({}, DAILY, DAY - 1) }],
    ["of a user agent that says nothing", { deviceId: given({ userAgent: "x" }), userAgent: "x" }],
  ])("leave a pseudonym %s as it is, and say so", (_what, kept) => {
    expect(decided(kept, rules)).toEqual({ deviceId: kept.deviceId, otherPeriod: false, unknown: true });
  });
});

describe("devices that are recognised", () => {
  it("within a day are other ones each day, whoever made their pseudonyms", () => {
    for (const deviceId of [given({}), given({ deviceId: "own" })]) {
      const ids = [DAY, DAY, DAY + 1].map((day) => decided({ deviceId, day }, { devices: DAILY }));
      expect(ids[1]).toEqual(ids[0]);
      expect(new Set(ids.map((one) => one.deviceId)).size).toBe(2);
      expect(ids.every(({ otherPeriod, unknown }) => otherPeriod === true && unknown !== true)).toBe(true);
    }
  });

  it("within a day stay when they are so already, made at intake or here", () => {
    const made = given({}, DAILY);
    expect(decided({ deviceId: made }, { devices: DAILY }).deviceId).toBe(made);
    for (const deviceId of [given({}), given({ deviceId: "own" })]) {
      const split = decided({ deviceId }, { devices: DAILY }).deviceId as string;
      const again = decided({ deviceId: split, ip: "" }, { devices: DAILY });
      expect(again).toMatchObject({ deviceId: split, otherPeriod: false });
      expect(decided({ deviceId: split, ip: "", day: DAY + 1 }, { devices: DAILY }).deviceId).not.toBe(split);
    }
  });

  it("for good are what intake would have made of their address, of each day", () => {
    const split = decided({ deviceId: given({}) }, { devices: DAILY }).deviceId as string;
    for (const deviceId of [given({}, DAILY), split]) {
      const stable = { deviceId: given({}), otherPeriod: true, withoutVersions: false };
      expect(decided({ deviceId }, { devices: STABLE })).toEqual(stable);
      expect(decided({ deviceId, ip: "" }, { devices: STABLE })).toMatchObject({ deviceId, unknown: true });
    }
    expect(decided({ deviceId: given({}) }, { devices: STABLE })).toMatchObject({ otherPeriod: false });
  });
});

it.each([STABLE, DAILY, UNSPECIFIED])("both rules together, decided twice, change nothing more (%s)", (devices) => {
  const rules = { ignoreVersions: true, devices };
  for (const setting of [STABLE, DAILY]) {
    const ids = [17, 18].map((version) => {
      const userAgent = phone(version);
      const deviceId = decided({ deviceId: given({ userAgent }, setting), userAgent }, rules).deviceId as string;
      const again = decided({ deviceId, userAgent }, rules);
      expect(again).toEqual({ deviceId, withoutVersions: false, otherPeriod: false });
      return deviceId;
    });
    expect(ids[0]).toBe(ids[1]);
  }
});
