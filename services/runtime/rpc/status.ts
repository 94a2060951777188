import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Any, anyPack } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { Metadata, type StatusObject } from "@grpc/grpc-js";
import { type BadRequest, BadRequestSchema, ErrorInfoSchema } from "#gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "#gen/google/rpc/status_pb.ts";
import { fail } from "../failure.ts";

const DETAILS = "grpc-status-details-bin";

/** With -1 a server asks channels not to try again: one that answers that it has too much to do must not get more. */
const PUSHBACK = "grpc-retry-pushback-ms";

/** The most field violations that go into a status: it travels as a header, which HTTP/2 peers limit to some kilobytes. */
const MOST_VIOLATIONS = 20;

/** A refusal as gRPC sends it: code, sentence, and the details as google.rpc.Status. What is no refusal is INTERNAL. */
export function toStatus(
  error: unknown,
): Partial<StatusObject> & { code: number; details: string; metadata: Metadata } {
  const refusal = error instanceof ConnectError ? error : fail("INTERNAL", { requestId: "-" }, error);
  const metadata = new Metadata();
  if (refusal.code === Code.Unavailable) metadata.set(PUSHBACK, "-1");
  const details: Any[] = [
    ...refusal.findDetails(ErrorInfoSchema).map((detail) => anyPack(ErrorInfoSchema, detail)),
    ...refusal.findDetails(BadRequestSchema).map((detail) => anyPack(BadRequestSchema, shortened(detail))),
  ];
  if (details.length > 0) {
    const status = create(StatusSchema, { code: refusal.code, message: refusal.rawMessage, details });
    metadata.set(DETAILS, Buffer.from(toBinary(StatusSchema, status)));
  }
  return { code: refusal.code as number, details: refusal.rawMessage, metadata };
}

function shortened({ fieldViolations }: BadRequest): BadRequest {
  return create(BadRequestSchema, { fieldViolations: fieldViolations.slice(0, MOST_VIOLATIONS) });
}

/** Sentences for what the channel itself says: its own name addresses of this installation, which no caller must see. */
const UNSAID: Partial<Record<Code, string>> = {
  [Code.Unavailable]: "a part of Waymark does not answer; try again shortly",
  [Code.Canceled]: "the call was cancelled",
  [Code.Unimplemented]: "this is not served here",
};

/** A status as a call ends with it. */
type Ended = Pick<StatusObject, "code" | "details"> & { metadata?: Metadata };

/** Refusals that came from the channel, not from a server that was reached. */
const away = new WeakSet<ConnectError>();

/** True when no server answered the call: another may, or the same one later. */
export function isAway(error: unknown): boolean {
  return error instanceof ConnectError && away.has(error);
}

/** The refusal of a call that no server was there for. */
export function noServer(cause?: unknown): ConnectError {
  const refusal = new ConnectError(UNSAID[Code.Unavailable] as string, Code.Unavailable, undefined, undefined, cause);
  away.add(refusal);
  return refusal;
}

/** The refusal that a gRPC status stands for, with its details. */
export function fromStatus(error: Ended): ConnectError {
  const code = error.code in Code ? (error.code as number as Code) : Code.Unknown;
  const details = detailsOf(error);
  if (details.length === 0) return said(code, error);
  const refusal = new ConnectError(error.details, code, undefined, undefined, error);
  for (const { typeUrl, value } of details)
    refusal.details.push({ type: typeUrl.slice(typeUrl.lastIndexOf("/") + 1), value });
  return refusal;
}

function said(code: Code, cause: Ended): ConnectError {
  if (code === Code.Unavailable && !cause.metadata?.get(PUSHBACK).length) return noServer(cause);
  if (code === Code.DeadlineExceeded) return fail("DEADLINE", {}, cause);
  return new ConnectError(UNSAID[code] ?? "a part of Waymark failed", code, undefined, undefined, cause);
}

/** The packed details; none when they are not what we send, for this runs where nobody could catch an error. */
function detailsOf({ metadata }: Ended): Any[] {
  const [packed] = metadata?.get(DETAILS) ?? [];
  if (packed === undefined) return [];
  try {
    return fromBinary(StatusSchema, Buffer.from(packed as Buffer)).details;
  } catch {
    return [];
  }
}
