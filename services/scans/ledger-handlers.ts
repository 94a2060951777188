import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { GetLedgerRequest, LedgerService, LedgerTallySchema } from "#gen/waymark/scans/v1/ledger_pb.ts";
import { contextOf } from "#runtime/context.ts";
import { fail } from "#runtime/failure.ts";
import { waitingIn } from "#runtime/positions.ts";
import { addBooks, type Books, emptyBooks, readBooks } from "./ledger.ts";
import { DAY_MS, HOUR_MS } from "./scope.ts";
import type { Sources } from "./tail.ts";
import type { Written } from "./written.ts";

const DEFAULT_DAYS = 7;
const DEFAULT_PAGE = 168;

/** Handlers of LedgerService. */
export function ledgerHandlers(parts: Sources & { written: Written }): ServiceImpl<typeof LedgerService> {
  return {
    async getLedger(request, handler) {
      const { principal, now } = contextOf(handler);
      const { workspace, test } = principal;
      const range = rangeOf(request, now());
      await parts.written.settled(handler);
      const waiting = waitingIn(handler.requestHeader);
      const read = await readBooks(parts, { workspace, test, ...range });
      const hours = [...read.hours];
      const total = emptyBooks();
      for (const [, books] of hours) addBooks(total, books);
      const after = cursorOf(request.pageToken);
      const open = hours.filter(([hour]) => hour > after);
      const page = open.slice(0, request.pageSize ?? DEFAULT_PAGE);
      const last = page.at(-1)?.[0];
      return {
        total: toTally(total),
        hours: page.map(([hour, books]) => ({ hour: hourText(hour), tally: toTally(books) })),
        nextPageToken: last !== undefined && page.length < open.length ? tokenOf(last) : "",
        ...(waiting > 0 && { waiting: BigInt(waiting) }),
        ...(read.withoutLog && { withoutLog: true }),
      };
    },
  };
}

function rangeOf({ from, to }: GetLedgerRequest, now: number): { from: number; to: number } {
  const end = to === undefined ? now + 1 : timestampMs(to);
  const begin = from === undefined ? end - DEFAULT_DAYS * DAY_MS : timestampMs(from);
  if (begin >= end) throw fail("INVALID_FIELD", { field: "from", must: "must be before to" });
  return { from: Math.floor(begin / HOUR_MS) * HOUR_MS, to: end };
}

function toTally(books: Books): MessageInitShape<typeof LedgerTallySchema> {
  const { accepted, rejected, rejectedBy, shed, counted, filtered, duplicate, pending } = books;
  const known = Object.values(filtered).reduce((sum, number) => sum + number, counted + duplicate + pending);
  return {
    received: BigInt(accepted + rejected + shed),
    accepted: BigInt(accepted),
    rejected: BigInt(rejected),
    shed: BigInt(shed),
    counted: BigInt(counted),
    filtered: int64sOf(filtered),
    duplicate: BigInt(duplicate),
    pending: BigInt(pending),
    balanced: accepted === known,
    rejectedBy: int64sOf(rejectedBy),
  };
}

function int64sOf(numbers: Readonly<Record<string, number>>): Record<string, bigint> {
  return Object.fromEntries(Object.entries(numbers).map(([reason, number]) => [reason, BigInt(number)]));
}

/** "2026-11-21T10:00:00Z". */
function hourText(hour: number): string {
  return new Date(hour).toISOString().replace(".000Z", "Z");
}

/** The hour after which a page begins. */
function cursorOf(token: string): number {
  if (token === "") return Number.NEGATIVE_INFINITY;
  const hour = Number(Buffer.from(token, "base64url").toString("latin1"));
  if (Number.isSafeInteger(hour) && tokenOf(hour) === token) return hour;
  throw fail("INVALID_FIELD", { field: "page_token", must: "must be the nextPageToken of a page before" });
}

function tokenOf(hour: number): string {
  return Buffer.from(String(hour), "latin1").toString("base64url");
}
