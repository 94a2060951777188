import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TouchesRevisedSchema } from "#gen/waymark/events/v1/corrections_pb.ts";
import { ConversationUpdatedSchema, DeviceType, Verdict } from "#gen/waymark/events/v1/touches_pb.ts";
import type { LogEntry, Subject } from "#runtime/log.ts";
import { deviceKey } from "../device-key.ts";
import { type Duck, openDuck } from "../engine/duck.ts";
import { NOW } from "../test-ground.ts";
import { touchOf } from "../test-history.ts";
import { CHANGES, type ChangeDeps } from "./changes.ts";
import { TYPES, toColumns } from "./columns.ts";
import { FINGERPRINT, SCHEMA } from "./schema.ts";

let folder: string;
let duck: Duck;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "waymark-revised-"));
  const exports = join(folder, "exports");
  const path = join(folder, "analytics.duckdb");
  duck = await openDuck({ path, exports, memoryMb: 256, schema: SCHEMA, fingerprint: FINGERPRINT });
});
afterAll(async () => {
  await duck.close();
  rmSync(folder, { recursive: true });
});

/** What happens to events, one after the other. */
type Happening =
  | { kind: "scan"; id: string; test: boolean; reason: string }
  | { kind: "talk"; id: string; messages: number }
  | { kind: "revise"; id: string; test: boolean; verdict: Verdict; reason: string; browser: string; device?: string };

const id = fc.integer({ min: 0, max: 6 }).map((n) => `scan_${n}`);
const test = fc.constantFrom(false, false, false, true);
const reason = fc.constantFrom("", "", "isbot");
const happening: fc.Arbitrary<Happening> = fc.oneof(
  fc.record({ kind: fc.constant("scan" as const), id, test, reason }),
  fc.record({ kind: fc.constant("talk" as const), id, messages: fc.integer({ min: 0, max: 5 }) }),
  fc
    .record({
      ...{ kind: fc.constant("revise" as const), id, test, reason: fc.constantFrom("isbot", "rate") },
      verdict: fc.constantFrom(Verdict.UNSPECIFIED, Verdict.HUMAN, Verdict.BOT),
      browser: fc.constantFrom("", "Safari", "Firefox"),
      device: fc.constantFrom(undefined, undefined, "", "d1", "d2"),
    })
    .map(({ device, ...one }) => ({
      ...{ ...one, reason: one.verdict === Verdict.BOT ? one.reason : "" },
      ...(device !== undefined && { device }),
    })),
);

/** A row by hand. */
interface Row {
  human: boolean;
  reason: string | null;
  browser: string | null;
  device_id: string | null;
  device_key: bigint | null;
  talked: boolean;
  messages: number;
  changed: number;
  revised_at: number | null;
}

function byHand(history: readonly Happening[]): Record<string, Row> {
  const rows: Record<string, Row & { test: boolean }> = {};
  for (const [index, one] of history.entries()) {
    const position = index + 1;
    const known = rows[one.id];
    if (one.kind === "scan") {
      const device = { device_id: "d0", device_key: deviceKey("d0"), browser: "Opera" };
      const fresh = { test: one.test, human: one.reason === "", reason: one.reason || null, ...device };
      rows[one.id] ??= { ...fresh, talked: false, messages: 0, changed: position, revised_at: null };
    } else if (known === undefined) continue;
    else if (one.kind === "talk") {
      if (known.talked && one.messages <= known.messages) continue;
      Object.assign(known, { talked: true, messages: Math.max(known.messages, one.messages), changed: position });
    } else if (known.test === one.test) {
      if (one.verdict !== Verdict.UNSPECIFIED)
        Object.assign(known, { human: one.verdict === Verdict.HUMAN, reason: one.reason || null });
      if (one.browser !== "") known.browser = one.browser;
      const { device } = one;
      if (device !== undefined)
        Object.assign(known, { device_id: device || null, device_key: device === "" ? null : deviceKey(device) });
      Object.assign(known, { changed: position, revised_at: NOW + position });
    }
  }
  return Object.fromEntries(Object.entries(rows).map(([name, { test: _, ...row }]) => [name, row]));
}

function entryOf(workspaceId: string, one: Exclude<Happening, { kind: "scan" }>, position: number): LogEntry {
  const common = { position, partition: 0, appendedAt: NOW };
  if (one.kind === "talk") {
    const message = create(ConversationUpdatedSchema, { workspaceId, scanId: one.id, messages: one.messages });
    return { ...common, subject: "conversations.updated", payload: toBinary(ConversationUpdatedSchema, message) };
  }
  const message = create(TouchesRevisedSchema, {
    ...{ workspaceId, test: one.test, rules: "2", revisedAt: timestampFromMs(NOW + position) },
    revisions: [
      {
        ...{ touchId: one.id, codeId: "link_1", verdict: one.verdict, verdictReason: one.reason },
        ...(one.browser !== "" && { device: { type: DeviceType.MOBILE, browser: one.browser } }),
        ...(one.device !== undefined && { deviceId: one.device }),
      },
    ],
  });
  return { ...common, subject: "touches.revised", payload: toBinary(TouchesRevisedSchema, message) };
}

/** Writes a history as the feed does: touches one by one, changes of one subject in one go, some of these twice. */
async function write(workspace: string, history: readonly Happening[], again: boolean): Promise<void> {
  const seen = new Set<string>();
  let open: LogEntry[] = [];
  const flush = async (): Promise<void> => {
    const subject = open[0]?.subject as Subject;
    const reader = CHANGES[subject];
    const deps = { signal: new AbortController().signal } as ChangeDeps;
    for (let turn = 0; reader !== undefined && turn < (again ? 2 : 1); turn += 1)
      await duck.write(await reader(open, deps));
    open = [];
  };
  for (const [index, one] of history.entries()) {
    if (one.kind !== "scan") {
      const entry = entryOf(workspace, one, index + 1);
      if (open[0] !== undefined && open[0].subject !== entry.subject) await flush();
      open.push(entry);
      continue;
    }
    await flush();
    if (seen.has(one.id)) continue;
    seen.add(one.id);
    const verdict = one.reason === "" ? Verdict.HUMAN : Verdict.BOT;
    const given = { id: one.id, workspaceId: workspace, test: one.test, verdict, verdictReason: one.reason };
    const touch = touchOf({
      ...given,
      deviceId: "d0",
      device: { type: DeviceType.DESKTOP, browser: "Opera", language: "de" },
    });
    const columns = toColumns([{ touch, position: index + 1, recordedAt: NOW }]);
    await duck.write(({ append }) => append("events", { types: TYPES, length: 1, slice: () => columns }));
  }
  await flush();
}

async function rowsOf(workspace: string): Promise<Record<string, Row>> {
  const sql = `SELECT id, human, reason, browser, device_id, device_key, talked, messages, changed, revised_at FROM events
    WHERE workspace = $workspace AND language = 'de'`;
  const rows = await duck.rows(sql, { workspace });
  return Object.fromEntries(
    rows.map(({ id: name, ...row }) => [
      String(name),
      {
        ...(row as unknown as Row),
        changed: Number(row.changed),
        revised_at: row.revised_at === null ? null : Number(row.revised_at),
      },
    ]),
  );
}

describe("the table", () => {
  it("has events as they were judged last and as far as their conversations are, whatever is told again", async () => {
    let run = 0;
    const property = fc.asyncProperty(fc.array(happening, { maxLength: 40 }), fc.boolean(), async (history, again) => {
      run += 1;
      await write(`w${run}`, history, again);
      expect(await rowsOf(`w${run}`)).toEqual(byHand(history));
    });
    await fc.assert(property, { numRuns: 30 });
  });

  it("takes a batch of thousands, and leaves out what it cannot read", async () => {
    const touches = Array.from({ length: 5_000 }, (_, n) => touchOf({ id: `many_${n}`, workspaceId: "many" }));
    const columns = toColumns(touches.map((touch) => ({ touch, position: 1, recordedAt: NOW })));
    const slice = (begin: number, end: number) => columns.map((column) => column.slice(begin, end));
    await duck.write(({ append }) => append("events", { types: TYPES, length: touches.length, slice }));
    const revisions = touches.map(({ id: touchId }) => ({ touchId, verdict: Verdict.BOT, verdictReason: "rate" }));
    const message = create(TouchesRevisedSchema, { workspaceId: "many", rules: "2", revisions });
    const common = { partition: 0, appendedAt: NOW, subject: "touches.revised" } as const;
    const entries = [
      { ...common, position: 2, payload: Buffer.from("this is no message") },
      { ...common, position: 3, payload: toBinary(TouchesRevisedSchema, message) },
    ];
    const apply = await CHANGES["touches.revised"]?.(entries, {} as ChangeDeps);
    await duck.write(apply ?? (async () => {}));
    const [row] = await duck.rows(
      "SELECT count(*) AS n FROM events WHERE workspace = 'many' AND NOT human AND reason = 'rate' AND changed = 3",
    );
    expect(row?.n).toBe(5_000n);
  });
});
