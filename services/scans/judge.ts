import type { MessageInitShape } from "@bufbuild/protobuf";
import { Verdict } from "#gen/waymark/events/v1/touches_pb.ts";
import type { JudgementSchema, KeptTouch } from "#gen/waymark/scans/v1/registry_pb.ts";
import type { UserAgent } from "./device.ts";
import { reasonOf } from "./verdict.ts";

/**
 * Judges a touch again from what is kept of it. What a browser said in a header is not kept, but the reason that was made of
 * it; without a user agent there is nothing else to judge by, and no verdict.
 */
export function judge(
  { userAgent, method, reason: recorded }: KeptTouch,
  parse: (userAgent: string) => UserAgent,
): MessageInitShape<typeof JudgementSchema> {
  const { actor, ...device } = parse(userAgent);
  const headers: Record<string, string> = recorded === "prefetch" ? { "sec-purpose": "prefetch" } : {};
  const wasHead = recorded === "head" && method === "";
  const reason = reasonOf({ method: wasHead ? "HEAD" : method, headers }, actor);
  const isTold = userAgent !== "" || reason !== "";
  return {
    verdict: isTold ? (reason === "" ? Verdict.HUMAN : Verdict.BOT) : Verdict.UNSPECIFIED,
    reason,
    actor: actor.name,
    ...(userAgent !== "" && { device }),
  };
}
