import type { MessageInitShape } from "@bufbuild/protobuf";
import { DeviceIdentitySetting } from "#gen/waymark/access/v1/authority_pb.ts";
import { DeviceType, Verdict } from "#gen/waymark/events/v1/touches_pb.ts";
import type {
  DecideDevicesRequestSchema,
  DecidedDeviceSchema,
  JudgementSchema,
  KeptDeviceSchema,
} from "#gen/waymark/scans/v1/registry_pb.ts";

/** Version of the small rules below. */
export const TEST_RULES = "7";

/** For tests: rules like those of `scans`, so small that they can be followed by hand. */
export function judgeLike({
  userAgent,
  method,
  reason,
}: {
  userAgent: string;
  method: string;
  reason: string;
}): MessageInitShape<typeof JudgementSchema> {
  if (method === "HEAD") return { verdict: Verdict.BOT, reason: "head" };
  if (reason === "prefetch") return { verdict: Verdict.BOT, reason };
  if (userAgent === "") return { verdict: Verdict.UNSPECIFIED };
  if (userAgent.includes("Robot")) return { verdict: Verdict.BOT, reason: "isbot", actor: "Robot", device: {} };
  return { verdict: Verdict.HUMAN, device: { type: DeviceType.MOBILE, browser: userAgent.slice(0, 6) } };
}

/** What pseudonyms of these small rules are made of. */
export type Signs = Pick<MessageInitShape<typeof KeptDeviceSchema>, "ip" | "userAgent">;

const plainOf = (userAgent: string): string => userAgent.replace(/\/.*/, "");

/** A pseudonym of the small rules: `whole` or without versions, for good, for its day, or split from one for good. */
export function pseudonymLike(
  { ip = "", userAgent = "" }: Signs,
  { isWhole, span, day }: { isWhole: boolean; span: "good" | "day" | "split"; day: number },
): string {
  const signs = `${ip}:${isWhole ? userAgent : plainOf(userAgent)}`;
  if (span === "good") return signs;
  return span === "day" ? `${signs}@${day}` : `${signs}+${day}`;
}

const FORMS = [true, false].flatMap((isWhole) =>
  (["good", "day", "split"] as const).map((span) => ({ isWhole, span })),
);

/** For tests: devices decided as `scans` does, with pseudonyms that can be read. */
export function decideLike(
  kept: MessageInitShape<typeof KeptDeviceSchema>,
  { ignoreVersions = false, devices = DeviceIdentitySetting.UNSPECIFIED }: DecideRules,
): MessageInitShape<typeof DecidedDeviceSchema> & { deviceId: string } {
  const { deviceId = "", ip = "", userAgent = "", day = 0 } = kept;
  const isKept = ip !== "" && userAgent !== "";
  const found = FORMS.find((form) => isKept && pseudonymLike(kept, { ...form, day }) === deviceId);
  const isDaily = devices === DeviceIdentitySetting.DAILY;
  if (found === undefined) {
    const splits = isDaily && !deviceId.endsWith(`+${day}`);
    const unknown = ignoreVersions || devices === DeviceIdentitySetting.STABLE;
    return { deviceId: splits ? `${deviceId}+${day}` : deviceId, otherPeriod: splits, unknown };
  }
  const isWhole = found.isWhole && !ignoreVersions;
  const unsplit = devices === DeviceIdentitySetting.STABLE ? "good" : found.span;
  const span = isDaily && found.span === "good" ? "split" : unsplit;
  const decided = pseudonymLike(kept, { isWhole, span, day });
  return { deviceId: decided, withoutVersions: isWhole !== found.isWhole, otherPeriod: span !== found.span };
}

type DecideRules = Pick<MessageInitShape<typeof DecideDevicesRequestSchema>, "ignoreVersions" | "devices">;
