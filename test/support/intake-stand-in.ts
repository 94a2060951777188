import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Touch, TouchBatchSchema, TouchSchema, Verdict } from "#gen/waymark/events/v1/touches_pb.ts";
import { IntakeService, type TouchInput } from "#gen/waymark/scans/v1/intake_pb.ts";
import { contextOf, type RequestContext } from "#runtime/context.ts";
import { partitionOf } from "#runtime/log.ts";
import { defineService } from "#runtime/service.ts";
import { subjectOf, TOUCH_SUBJECTS, type TouchPurpose } from "#runtime/touches.ts";

/**
 * Stands for the scans service where only its promise matters: accepted touches are durable on the real log, one entry a
 * code. A user agent with "bot" is a program; an id that begins with "bad" is rejected.
 */
export const intakeStandIn = defineService({
  name: "intake-stand-in",
  collections: [],
  calls: [],
  publishes: TOUCH_SUBJECTS,
  consumes: [],
  routes: (router, { log }) =>
    router.service(IntakeService, {
      async recordTouches({ touches: inputs }, handler) {
        const context = contextOf(handler);
        const rejected = inputs.flatMap(({ id }, index) =>
          id.startsWith("bad") ? [{ index, code: "INVALID_FIELD", message: "id is bad" }] : [],
        );
        const touches = inputs.filter(({ id }) => !id.startsWith("bad")).map((input) => toTouch(input, context));
        const byCode = Map.groupBy(touches, ({ purpose, codeId }) => `${purpose}/${codeId}`);
        const records = [...byCode.values()].map((list) => {
          const { purpose, codeId: key } = list[0] as Touch;
          const batch = create(TouchBatchSchema, { touches: list, recordedAt: timestampFromMs(context.now()) });
          return { subject: subjectOf[purpose as TouchPurpose], key, payload: toBinary(TouchBatchSchema, batch) };
        });
        records.sort((a, b) => partitionOf(a.key) - partitionOf(b.key));
        if (records.length > 0) await log.append(records, context.newId("batch"));
        return { accepted: touches.length, rejected };
      },
    }),
});

function toTouch(input: TouchInput, { principal, now, newId }: RequestContext): Touch {
  const { purpose, codeId, shortId, parentId, ownerId, userId, ip, userAgent, metadata } = input;
  return create(TouchSchema, {
    id: input.id || newId("touch"),
    workspaceId: principal.workspace,
    ...{ purpose, codeId, shortId, parentId, ownerId, userId, ip, userAgent, test: principal.test },
    scannedAt: input.scannedAt ?? timestampFromMs(now()),
    verdict: userAgent.includes("bot") ? Verdict.BOT : Verdict.HUMAN,
    ...(metadata !== undefined && { metadata }),
  });
}
