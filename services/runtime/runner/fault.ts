import { Code, ConnectError } from "@connectrpc/connect";
import { reasonOf } from "../failure.ts";
import type { Subject } from "../log.ts";

/** An error without its message, which might repeat what the log holds. */
export interface Fault {
  /** Class or reason. */
  error: string;
  /** Where it was thrown: "services/scans/project.ts:41:7". Empty when unknown. */
  where: string;
}

/**
 * What an operator should know of a projection. `poison`: an entry was set aside. `waiting`: store or log do not answer, or
 * another process moves the watermark; nothing is lost, and it is tried again without end.
 */
export type Alarm = Fault & { projection: string } & (
    | { kind: "poison"; position: number; subject: Subject }
    | { kind: "waiting" }
  );

/** Thrown when the watermark was not where this projection had left it. */
export class WatermarkMoved extends Error {
  override name = "WatermarkMoved";
}

const transient: readonly Code[] = [Code.Unavailable, Code.Aborted, Code.DeadlineExceeded];

/** Thrown in place of a write when the lease of the projection may be another process's by now. */
export class LeaseLost extends Error {
  override name = "LeaseLost";
}

/** True when the entries are not to blame. */
export function isTrouble(error: unknown): boolean {
  if (error instanceof WatermarkMoved || error instanceof LeaseLost) return true;
  return error instanceof ConnectError && transient.includes(error.code);
}

/** Describes an error by its class and place. */
export function faultOf(error: unknown): Fault {
  if (!(error instanceof Error)) return { error: typeof error, where: "" };
  const frames = (error.stack ?? "").split("\n").filter((line) => line.startsWith("    at "));
  const place = frames.map((line) => /(?:services|gateway|test)\/[\w./-]+:\d+:\d+/.exec(line)?.[0]);
  return { error: reasonOf(error)?.reason ?? error.name, where: place.find((found) => found !== undefined) ?? "" };
}
