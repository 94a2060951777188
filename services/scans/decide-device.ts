import type { MessageInitShape } from "@bufbuild/protobuf";
import { DeviceIdentitySetting } from "#gen/waymark/access/v1/authority_pb.ts";
import type { DecidedDeviceSchema, KeptDevice } from "#gen/waymark/scans/v1/registry_pb.ts";
import type { UserAgent } from "./device.ts";
import { addressSigns, type Identities, type Scope } from "./identity.ts";

/** By what it is decided again which device a touch is of. */
export interface DeviceRules {
  ignoreVersions: boolean;
  devices: DeviceIdentitySetting;
}

/** For how long a pseudonym is one: for good, for its day, or for its day because one for good was split later. */
type Span = "good" | "day" | "split";

const SPANS: readonly Span[] = ["good", "day", "split"];

/** Characters of a split pseudonym that come from the one before; the others tell that it is split. 96 and 36 bits. */
const BODY = 16;

/** What decides. */
export interface Deciding {
  workspace: string;
  rules: DeviceRules;
  identities: Pick<Identities, "hash">;
  userAgents: (text: string) => UserAgent;
}

/**
 * Decides again which device touches are of. How a pseudonym was made is never believed, but found out by making it again from
 * the address and the user agent that are kept: one of a client cannot be mistaken for it. What was decided by the same rules
 * before stays, so that deciding twice changes nothing.
 */
export function decideDevice(
  kept: Pick<KeptDevice, "deviceId" | "ip" | "userAgent" | "day">,
  { workspace, rules, identities, userAgents }: Deciding,
): MessageInitShape<typeof DecidedDeviceSchema> {
  const { ignoreVersions, devices } = rules;
  const { deviceId } = kept;
  const make = makerOf(identities, { workspace, day: kept.day });
  const all = kept.ip === "" || kept.userAgent === "" ? [] : signsOf(kept, userAgents);
  const found = all
    .flatMap((signs) => SPANS.map((span) => ({ signs, span })))
    .find((form) => make.from(form) === deviceId);
  const plain = all[1];
  if (found === undefined || (ignoreVersions && plain === undefined)) {
    const isDaily = devices === DeviceIdentitySetting.DAILY && !make.isSplit(deviceId);
    return {
      deviceId: isDaily ? make.split(deviceId) : deviceId,
      otherPeriod: isDaily,
      unknown: ignoreVersions || devices === DeviceIdentitySetting.STABLE,
    };
  }
  const signs = ignoreVersions && plain !== undefined ? plain : found.signs;
  const span = spanAfter(found.span, devices);
  const withoutVersions = signs !== found.signs;
  return { deviceId: make.from({ signs, span }), withoutVersions, otherPeriod: span !== found.span };
}

function spanAfter(span: Span, devices: DeviceIdentitySetting): Span {
  if (devices === DeviceIdentitySetting.STABLE) return "good";
  return devices === DeviceIdentitySetting.DAILY && span === "good" ? "split" : span;
}

/** What a pseudonym may have been made of: first with versions, then without; the latter only where the user agent says anything. */
function signsOf({ ip, userAgent }: Pick<KeptDevice, "ip" | "userAgent">, read: Deciding["userAgents"]): string[] {
  const { type, browser, platform, brand } = read(userAgent);
  const whole = addressSigns(ip, userAgent);
  if (browser === "" && platform === "") return [whole];
  return [whole, `family\n${ip}\n${type}\n${browser}\n${platform}\n${brand}`];
}

/** Makes pseudonyms of one day. */
function makerOf({ hash }: Pick<Identities, "hash">, scope: Required<Scope>) {
  const tagOf = (body: string) => hash(scope, `tag\n${body}`).slice(0, -BODY);
  const split = (deviceId: string): string => {
    const body = hash(scope, `split\n${deviceId}`).slice(0, BODY);
    return `${body}${tagOf(body)}`;
  };
  return {
    split,
    isSplit: (deviceId: string) => deviceId.slice(BODY) === tagOf(deviceId.slice(0, BODY)),
    from: ({ signs, span }: { signs: string; span: Span }): string => {
      if (span === "day") return hash(scope, signs);
      const good = hash({ workspace: scope.workspace }, signs);
      return span === "good" ? good : split(good);
    },
  };
}
