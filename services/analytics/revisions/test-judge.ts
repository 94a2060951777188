import type { MessageInitShape } from "@bufbuild/protobuf";
import { DeviceType, Verdict } from "#gen/waymark/events/v1/touches_pb.ts";
import type { JudgementSchema } from "#gen/waymark/scans/v1/registry_pb.ts";

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
