import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema } from "#gen/google/rpc/error_details_pb.ts";
import { failures, reasonOf } from "../failure.ts";

/** Refusals of the store. STORE_UNAVAILABLE may be tried again once the operator has done what `why` says. */
export const fail = failures("store.waymark", {
  STORE_UNAVAILABLE: { code: Code.Unavailable, say: (f) => `the store does not answer: ${f.why}` },
  DOCUMENT_CONFLICT: {
    code: Code.AlreadyExists,
    say: (f) => `another document of ${f.model} has the same ${f.index}; choose another value`,
  },
});

/** True for an error that says that the store itself, not the request, is the trouble. */
export function isStoreUnavailable(error: unknown): boolean {
  const found = reasonOf(error);
  return found?.domain === fail.domain && found.reason === "STORE_UNAVAILABLE";
}

/** SQLite's primary result codes that an operator can do something about. https://www.sqlite.org/rescode.html */
const whys: Readonly<Record<number, string>> = {
  3: "the data folder may not be accessed; give this user the right to read and write it",
  5: "another process holds the lock on its file; stop the other process that uses this data folder",
  6: "another process holds the lock on its file; stop the other process that uses this data folder",
  7: "there is not enough memory; give the process more",
  8: "its file or folder is read-only; make the data folder writable for this user",
  10: "the disk failed to read or write; check the disk that holds the data folder",
  11: "its file is damaged; restore the data folder from a backup",
  13: "the disk is full; free space on the disk that holds the data folder",
  14: "its file cannot be opened; check that the data folder exists and is writable for this user",
  26: "its file is not a database; move it away or point WAYMARK_DATA to another folder",
};

/** Why nothing can be done with a store any more that was closed. */
export const CLOSED = "it is closed; start the service again";

/** Translates an error of SQLite into STORE_UNAVAILABLE; every other error comes back as it is. `at` says where, to operators. */
export function translate(error: unknown, at = ""): unknown {
  if (!(error instanceof Error)) return error;
  const { code, errcode } = error as { code?: string; errcode?: number };
  const why = code === "ERR_INVALID_STATE" ? CLOSED : whys[(errcode ?? 0) & 0xff];
  return why === undefined ? error : fail("STORE_UNAVAILABLE", { why: `${at}${why}` }, error);
}

/** Runs what touches SQLite and translates what it throws. */
export function translating<R>(run: () => R): R {
  try {
    return run();
  } catch (error) {
    throw translate(error);
  }
}

/** An error in a form that a MessagePort carries whole. */
export interface PackedFailure {
  message: string;
  code?: Code;
  info?: { reason: string; domain: string; metadata: Record<string, string> };
}

/** Packs an error for the way to another thread. */
export function packFailure(error: unknown): PackedFailure {
  if (!(error instanceof ConnectError)) return { message: error instanceof Error ? error.message : String(error) };
  const info = reasonOf(error);
  if (info === undefined) return { message: error.rawMessage, code: error.code };
  const { reason, domain, metadata } = info;
  return { message: error.rawMessage, code: error.code, info: { reason, domain, metadata: { ...metadata } } };
}

/** The error that was packed. */
export function unpackFailure({ message, code, info }: PackedFailure): Error {
  if (code === undefined) return new Error(message);
  const error = new ConnectError(message, code);
  if (info !== undefined) error.details.push({ desc: ErrorInfoSchema, value: info });
  return error;
}
