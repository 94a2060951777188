import { type Client, Code, ConnectError } from "@connectrpc/connect";
import type { IntakeService, TouchInput } from "#gen/waymark/scans/v1/intake_pb.ts";
import { as, internalContext } from "#runtime/internal.ts";
import type { Logger } from "#runtime/logger.ts";
import { redirectTouches } from "./metrics.ts";
import { type Positions, positionIn } from "./positions.ts";
import type { Owner } from "./queue/frame.ts";

/** Touches of one RecordTouches call at most. */
export const BATCH = 1_000;
const DEADLINE_MS = 5_000;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;

/** Codes that say something about the touches. With all others the same batch can work later, after a roll-out for instance. */
const LASTING = new Set([
  Code.InvalidArgument,
  Code.FailedPrecondition,
  Code.OutOfRange,
  Code.Internal,
  Code.DataLoss,
  Code.Unknown,
]);

/** True when waiting alone will not let intake take what it refused so. */
export function isLasting(error: unknown): boolean {
  return LASTING.has(ConnectError.from(error).code);
}

/** The way to intake, and whether it is open. */
export class IntakeLine {
  readonly #intake: Client<typeof IntakeService>;
  readonly #log: Pick<Logger, "warn">;
  readonly #positions: Positions | undefined;
  #pauseMs = 0;
  #pausedUntil = 0;

  constructor(options: {
    intake: Client<typeof IntakeService>;
    log: Pick<Logger, "warn">;
    /** Told up to where a workspace has written. */
    positions?: Positions | undefined;
  }) {
    this.#intake = options.intake;
    this.#log = options.log;
    this.#positions = options.positions;
  }

  /** The last call failed because intake does not answer. */
  get isDown(): boolean {
    return this.#pauseMs > 0;
  }

  /** Milliseconds until intake should be tried again; 0: now. */
  get pauseMs(): number {
    return Math.max(0, this.#pausedUntil - performance.now());
  }

  /** Resolves when the touches, {@link BATCH} at most, are durable or refused for good, each. Rejects when none was taken. */
  async bring(touches: TouchInput[], { workspace, test }: Owner): Promise<void> {
    const context = internalContext(workspace);
    const options = as({ ...context, principal: { ...context.principal, test } });
    const onHeader = (from: Headers): void => this.#positions?.note(workspace, positionIn(from));
    try {
      const reply = await this.#intake.recordTouches({ touches }, { ...options, onHeader, timeoutMs: DEADLINE_MS });
      this.#pauseMs = 0;
      this.#pausedUntil = 0;
      redirectTouches.inc({ outcome: "recorded" }, touches.length - reply.rejected.length);
      if (reply.rejected.length > 0) redirectTouches.inc({ outcome: "rejected" }, reply.rejected.length);
    } catch (error) {
      if (!isLasting(error)) this.#pause(ConnectError.from(error).code);
      throw error;
    }
  }

  /** Calls that were under way together and fail together are one failure. */
  #pause(code: Code): void {
    if (this.pauseMs > 0) return;
    this.#pauseMs = Math.min(LONGEST_PAUSE_MS, this.#pauseMs * 2 || FIRST_PAUSE_MS);
    this.#pausedUntil = performance.now() + this.#pauseMs;
    this.#log.warn({ code: Code[code], pauseMs: this.#pauseMs }, "intake is not available");
  }
}
