import { Code } from "@connectrpc/connect";
import { failures } from "#runtime/failure.ts";

/** Refusals of the scans service. Items of a batch are refused with the same reasons, see `rejection`. */
export const fail = failures("scans.waymark", {
  SCAN_NOT_FOUND: { code: Code.NotFound, say: (f) => `scan ${f.scanId} does not exist` },
  CODE_NOT_FOUND: { code: Code.NotFound, say: (f) => `QPR code ${f.codeId} does not exist` },
});

/** Why one item of a batch is not taken. */
export interface Refusal {
  /** Reason, as in docs/errors.md. */
  code: string;
  /** A sentence that names the field. */
  message: string;
}

/** An item with a field that is wrong. */
export function badField(field: string, must: string): Refusal {
  return { code: "INVALID_FIELD", message: `${field} ${must}` };
}

/** An item of a code that is unknown or deleted. */
export function noSuchCode(field: string, id: string): Refusal {
  return { code: "CODE_NOT_FOUND", message: `${field}: ${fail.reasons.CODE_NOT_FOUND.say({ codeId: id })}` };
}

/** An item that found the queue full. */
export function overloaded(): Refusal {
  return { code: "OVERLOADED", message: "the intake queue is full; send this item again shortly" };
}
