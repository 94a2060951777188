import { ConnectError } from "@connectrpc/connect";
import { mongo } from "mongoose";
import { CLOSED, fail } from "../failure.ts";

/** Numbers of errors that the code decides by. https://www.mongodb.com/docs/manual/reference/error-codes/ */
export const codes = {
  INTERNAL: 1,
  TYPE_MISMATCH: 14,
  NAMESPACE_NOT_FOUND: 26,
  PATH_NOT_VIABLE: 28,
  NAMESPACE_EXISTS: 48,
  IMMUTABLE_FIELD: 66,
  WRITE_CONFLICT: 112,
  DUPLICATE_KEY: 11_000,
  /** FerretDB: PostgreSQL found that two calls wait for each other and let this one go, without any effect. */
  DEADLOCK: 16_908_292,
} as const;

/** The server did nothing: another one is the primary now, or the call gave way to one that it would have waited for forever. */
const undone = new Set<number>([10_107, 13_435, 10_058, codes.WRITE_CONFLICT, codes.DEADLOCK]);

/** What a document or a change is to blame for; everything else that a server says is the store's own trouble. */
const refusals = new Set([2, 9, 14, 15, 28, 40, 52, 57, 66, 10_334, 17_280, 17_419]);

const UNREACHABLE = "it cannot be reached; check it and WAYMARK_MONGODB_URL";

const whys: Readonly<Record<number, string>> = {
  13: "its user lacks the right to read and write the database; grant it",
  18: "it refuses user and password; check WAYMARK_MONGODB_URL",
  14031: "its disk is full; free space on it",
  64: "it could not write to a majority of its members; check them",
  100: "it has too few members for a majority; check them",
};

/** True when the same call may be made again, because the server says that it did nothing. */
export function isUndone(error: unknown): boolean {
  // Of the commands that a bulk becomes, another may have been carried out.
  if (error instanceof mongo.MongoBulkWriteError || error instanceof mongo.MongoWriteConcernError) return false;
  return error instanceof mongo.MongoServerError && undone.has(Number(error.code));
}

/** True when the connection broke while a call was on its way; not when it was waited for in vain. */
export function isLost(error: unknown): boolean {
  if (isSocketError(error)) return true;
  return error instanceof mongo.MongoNetworkError && !(error instanceof mongo.MongoNetworkTimeoutError);
}

/** True for what Node says of a socket. The driver passes it on as it is when a server ends the connection under a write. */
function isSocketError(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return (
    typeof code === "string" &&
    /^(EPIPE|ECONN[A-Z]+|ETIMEDOUT|ENET[A-Z]+|EHOST[A-Z]+|ERR_(STREAM|SOCKET)_[A-Z_]+)$/.test(code)
  );
}

/**
 * The unique index that a duplicate key stands against: "_id_" for the id, empty when the server does not name it; undefined for every
 * other error.
 */
export function duplicateOf({ code, message }: { code?: unknown; message?: string }): string | undefined {
  // FerretDB, for findOneAndUpdate: 'conflicting key value violates exclusion constraint "documents_rum_index_17"'
  if (code === codes.INTERNAL && /violates (exclusion|unique) constraint/.test(message ?? "")) return "";
  if (code !== codes.DUPLICATE_KEY) return undefined;
  // MongoDB: "E11000 duplicate key error collection: db.tags index: value dup key: { … }"
  // FerretDB: "Duplicate key violation on the requested collection: Index 'value'"
  const named = /\bindex: (\S+)/.exec(message ?? "") ?? /\bIndex '([^']+)'/.exec(message ?? "");
  return named?.[1] ?? "";
}

/** Translates an error of the driver into the store's failures; every other error comes back as it is. */
export function translate(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof ConnectError) return error;
  if (error instanceof mongo.MongoServerError) return fromServer(error);
  if (isClosed(error)) return fail("STORE_UNAVAILABLE", { why: CLOSED }, error);
  if (error.name === "MongoWaitQueueTimeoutError")
    return unavailable("too many calls wait for it; try again shortly", error);
  if (isNetwork(error)) return unavailable(UNREACHABLE, error);
  if (error instanceof mongo.MongoError || error instanceof mongo.BSON.BSONError)
    return new Error("the store cannot keep this document", { cause: error });
  return error;
}

function unavailable(why: string, cause: unknown): ConnectError {
  return fail("STORE_UNAVAILABLE", { why }, cause);
}

function fromServer(error: mongo.MongoServerError): Error {
  const code = Number(error.code);
  // A bulk that lost its server is told as an error of the server, but without a code.
  if (Number.isNaN(code)) return unavailable(UNREACHABLE, error);
  const refusal = refusalOf(code, error);
  if (refusal !== undefined) return refusal;
  return unavailable(whys[code] ?? "it reports a fault of its own; look at its log", error);
}

/** What a document or a change is refused for, in the words of the embedded store; undefined when the code says something else. */
export function refusalOf(code: number, cause: unknown): Error | undefined {
  if (!refusals.has(code)) return undefined;
  if (code === codes.TYPE_MISMATCH)
    return new Error("a field of the change is not a number and cannot be counted", { cause });
  if (code === codes.PATH_NOT_VIABLE)
    return new Error("a path of the change leads through something that is not an object", { cause });
  return new Error("the store cannot keep this document", { cause });
}

function isClosed(error: Error): boolean {
  const closed = ["MongoClientClosedError", "MongoTopologyClosedError", "MongoNotConnectedError", "PoolClosedError"];
  return closed.includes(error.name) || error.name === "MongoPoolClosedError";
}

function isNetwork(error: Error): boolean {
  return (
    isSocketError(error) ||
    error instanceof mongo.MongoNetworkError ||
    error instanceof mongo.MongoServerSelectionError ||
    error.name === "MongooseServerSelectionError" ||
    error.name === "MongoOperationTimeoutError" ||
    error instanceof mongo.MongoSystemError
  );
}
