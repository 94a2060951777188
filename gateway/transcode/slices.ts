import { setImmediate as nextTurn } from "node:timers/promises";
import type { Message } from "@bufbuild/protobuf";
import type { ItemFault } from "#gen/waymark/options/v1/options_pb.ts";
import type { Route, RouteInput } from "../routes.ts";
import { faultsField } from "./lists.ts";

/** Lines are read in pieces of about this size, with a turn of the event loop between two: some 10 ms each. */
const SLICE_BYTES = 512 * 1024;
const NEWLINE = 0x0a;

/**
 * Reads a request as `route.read` does. A long NDJSON body is read piece by piece, so that other requests get their turn.
 * Rejects with an InputError, and with nothing else.
 */
export async function readInTurns(route: Route, input: RouteInput): Promise<Message> {
  const { body } = input;
  if (body === undefined || body.length <= SLICE_BYTES || !isLines(input)) return route.read(input);
  const lists = listsOf(route);
  if (lists === undefined) return route.read(input);
  let whole: Draft | undefined;
  for (const slice of slicesOf(body)) {
    const part = route.read({ ...input, body: slice }) as Draft;
    if (whole === undefined) whole = part;
    else append(whole, part, lists);
    await nextTurn();
  }
  return whole as Message;
}

type Draft = Message & Record<string, unknown>;

interface Lists {
  items: string;
  faults: string | undefined;
}

function listsOf({ rpc, rules }: Route): Lists | undefined {
  const field = rpc.input.fields.find(({ name }) => name === rules.ndjsonField);
  return field === undefined ? undefined : { items: field.localName, faults: faultsField(field)?.localName };
}

function isLines({ contentType }: RouteInput): boolean {
  return /ndjson|jsonl/i.test(contentType ?? "");
}

/** Pieces that end with a line. A line that is longer than a piece is one of its own. */
function* slicesOf(body: Uint8Array): Iterable<Uint8Array> {
  for (let from = 0; from < body.length; ) {
    const end = body.indexOf(NEWLINE, from + SLICE_BYTES);
    const to = end === -1 ? body.length : end + 1;
    yield body.subarray(from, to);
    from = to;
  }
}

function append(whole: Draft, part: Draft, { items, faults }: Lists): void {
  const list = whole[items] as unknown[];
  const before = list.length;
  for (const item of part[items] as unknown[]) list.push(item);
  if (faults === undefined) return;
  for (const fault of part[faults] as ItemFault[]) {
    (whole[faults] as ItemFault[]).push({ ...fault, index: fault.index + before });
  }
}
