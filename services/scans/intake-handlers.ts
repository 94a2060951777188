import type { ServiceImpl } from "@connectrpc/connect";
import type { IntakeService } from "#gen/waymark/scans/v1/intake_pb.ts";
import { contextOf } from "#runtime/context.ts";
import { fail } from "#runtime/failure.ts";
import type { Store } from "#runtime/store.ts";
import { faultOfArrival } from "./input.ts";
import type { Intake } from "./intake.ts";
import { countOfCodes } from "./totals.ts";

const MOST = 1000;

/** Handlers of IntakeService. */
export function intakeHandlers({ store, intake }: { store: Store; intake: Intake }): ServiceImpl<typeof IntakeService> {
  return {
    async recordTouches({ touches }, handler) {
      if (touches.length > MOST)
        throw fail("INVALID_FIELD", { field: "touches", must: `must have at most ${MOST} items` });
      if (touches.length === 0) return {};
      const now = contextOf(handler).now();
      const items = touches.map((arrival) => {
        const refusal = faultOfArrival(arrival, now);
        return refusal === undefined ? { arrival } : { refusal };
      });
      return intake(items, handler);
    },

    async countScans({ codeIds }, handler) {
      const { workspace, test } = contextOf(handler).principal;
      const totals = await countOfCodes(store, { workspace, test, codeIds });
      return { totals: totals.map(BigInt) };
    },
  };
}
