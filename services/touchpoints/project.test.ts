import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { expect, it } from "vitest";
import { Purpose, TouchBatchSchema, Verdict } from "#gen/waymark/events/v1/touches_pb.ts";
import type { Principal } from "#runtime/context.ts";
import type { LogEntry } from "#runtime/log.ts";
import { openSqliteStore } from "#runtime/store.sqlite.ts";
import type { Store } from "#runtime/store.ts";
import { dumpOf, projectCleanly, projectThroughFaults, stepPlans, unbatched } from "../../test/support/faults.ts";
import { answer } from "./metrics.ts";
import { experienceModel, touchpointModel } from "./model.ts";
import { touchpointsProjection } from "./project.ts";
import { touchpoints as service } from "./service.ts";

const principal = { workspace: "acme", test: false } as Principal;
const TOUCHPOINTS = ["t1", "t2", "t3"];
const USERS = ["u1", "u2", "u3", "ü"];

interface Given {
  id: string;
  touchpoint: string;
  user: string;
  at: number;
  human: boolean;
  purpose: Purpose;
  workspace: string;
}

const given: fc.Arbitrary<Given> = fc.record({
  id: fc.integer({ min: 0, max: 30 }).map((n) => `s${n}`), // few, so that duplicates are common
  touchpoint: fc.constantFrom(...TOUCHPOINTS),
  user: fc.constantFrom(...USERS),
  at: fc.integer({ min: 0, max: 12 }).map((n) => n * 1000),
  human: fc.oneof({ weight: 9, arbitrary: fc.constant(true) }, { weight: 1, arbitrary: fc.constant(false) }),
  purpose: fc.constantFrom(Purpose.TOUCHPOINT, Purpose.TOUCHPOINT, Purpose.TOUCHPOINT, Purpose.MARKETING),
  workspace: fc.constantFrom("acme", "acme", "acme", "other"),
});
const batches = fc.array(fc.array(given, { minLength: 1, maxLength: 5 }), { maxLength: 15 });
/** Sizes of chunks; they are repeated until all entries are in. */
const chunks = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 6 });

function entriesOf(all: Given[][]): LogEntry[] {
  return all.map((touches, i) => {
    const batch = create(TouchBatchSchema, {
      touches: touches.map(({ id, touchpoint, user, at, human, purpose, workspace }) => ({
        id,
        workspaceId: workspace,
        purpose,
        codeId: touchpoint,
        parentId: "exp",
        userId: user,
        scannedAt: timestampFromMs(at),
        verdict: human ? Verdict.HUMAN : Verdict.BOT,
      })),
    });
    const payload = toBinary(TouchBatchSchema, batch);
    return { position: i * 3 + 1, partition: 0, subject: "touches.touchpoint", payload, appendedAt: 0 };
  });
}

async function project(entries: LogEntry[], sizes: number[], store: Store): Promise<void> {
  for (let at = 0, i = 0; at < entries.length; i += 1) {
    const size = sizes[i % sizes.length] as number;
    await touchpointsProjection.project(entries.slice(at, at + size), { store, now: () => 0 });
    at += size;
  }
}

async function openStore(): Promise<Store> {
  const store = openSqliteStore({ path: ":memory:", models: service.collections });
  const experience = { id: "exp", name: "e", value: "e", test: false, createdAt: 0 };
  await store.collection(experienceModel).of("acme").insert(experience);
  for (const id of TOUCHPOINTS) {
    const doc = { id, experienceId: "exp", name: id, value: id, test: false, createdAt: 0 };
    await store.collection(touchpointModel).of("acme").insert(doc);
  }
  return store;
}

/** What counts, by going through everything. */
function expected(all: Given[][]) {
  const first = new Map<string, Given>();
  for (const touch of all.flat()) {
    if (touch.workspace !== "acme" || !touch.human || touch.purpose !== Purpose.TOUCHPOINT) continue;
    if (!first.has(touch.id)) first.set(touch.id, touch);
  }
  const byText = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b));
  return TOUCHPOINTS.map((touchpoint) => {
    const visits = [...first.values()].filter((touch) => touch.touchpoint === touchpoint);
    visits.sort((a, b) => a.at - b.at || byText(a.id, b.id));
    const firsts = new Map<string, number>();
    for (const { user, at } of visits) if (!firsts.has(user)) firsts.set(user, at);
    const users = [...firsts].sort((a, b) => a[1] - b[1] || byText(a[0], b[0]));
    return { touchpoint, visits: visits.map(({ user, at }) => [user, at]), users };
  });
}

/** The same, as the API answers it, with each part asked in its own shape. */
async function answered(store: Store) {
  const ask = async (question: Parameters<typeof answer>[0]) =>
    (await answer(question, store, principal)).value as never;
  const { touchpoints }: { touchpoints: { totalVisits: bigint; uniqueVisits: bigint }[] } = await ask({
    about: "EXPERIENCE",
    experienceId: "exp",
  });
  const lines = async (touchpointId: string, visits: "TOTAL" | "UNIQUE") => {
    const page = { pageSize: 1000, offset: 0 };
    const { touchpoints: one } = await ask({ about: "TOUCHPOINT", touchpointId, visits, page });
    const { items } = one[visits === "TOTAL" ? "totalVisitsDetails" : "uniqueVisitsDetails"] as Lines;
    return items.map(({ userId, timestampUtc }) => [userId, timestampMs(timestampUtc as never)]);
  };
  return Promise.all(
    TOUCHPOINTS.map(async (touchpoint, i) => {
      const [visits, users] = [await lines(touchpoint, "TOTAL"), await lines(touchpoint, "UNIQUE")];
      expect(touchpoints[i]).toMatchObject({
        totalVisits: BigInt(visits.length),
        uniqueVisits: BigInt(users.length),
      });
      return { touchpoint, visits, users };
    }),
  );
}
type Lines = { items: { userId: string; timestampUtc: unknown }[] };

it("answers as going through all touches does, however the log is cut into chunks", async () => {
  await fc.assert(
    fc.asyncProperty(batches, chunks, async (all, sizes) => {
      const store = await openStore();
      await project(entriesOf(all), sizes, store);
      expect(await answered(store)).toStrictEqual(expected(all));
      await store.close();
    }),
    { numRuns: 60 },
  );
});

it("changes nothing when the log is read again in other chunks", async () => {
  await fc.assert(
    fc.asyncProperty(batches, chunks, chunks, async (all, sizes, others) => {
      const store = await openStore();
      await project(entriesOf(all), sizes, store);
      await project(entriesOf(all), others, store);
      expect(await answered(store)).toStrictEqual(expected(all));
      await store.close();
    }),
    { numRuns: 60 },
  );
});

it("goes on as if nothing had been after a crash between any two writes", async () => {
  await fc.assert(
    fc.asyncProperty(batches, chunks, fc.array(fc.nat({ max: 8 }), { maxLength: 6 }), async (all, sizes, crashes) => {
      const store = await openStore();
      for (const writes of crashes) await project(entriesOf(all), sizes, crashing(store, writes)).catch(onlyCrash);
      await project(entriesOf(all), [1], store);
      expect(await answered(store)).toStrictEqual(expected(all));
      await store.close();
    }),
    { numRuns: 60 },
  );
});

it("counts a step once after any deaths, by twins, and when one that was stopped goes on later", async () => {
  await fc.assert(
    fc.asyncProperty(batches, stepPlans, async (all, plans) => {
      const [tried, clean] = [unbatched(await openStore()), unbatched(await openStore())];
      const course = { projection: touchpointsProjection, entries: entriesOf(all), plans, now: () => 0 };
      await projectThroughFaults({ ...course, store: tried });
      await projectCleanly({ ...course, store: clean });
      const documents = { models: service.collections, workspaces: ["acme", "other"] };
      expect(await dumpOf(tried, documents)).toEqual(await dumpOf(clean, documents));
      expect(await answered(tried)).toStrictEqual(expected(all));
      await Promise.all([tried.close(), clean.close()]);
    }),
    { numRuns: 60 },
  );
});

/** The store, whose power fails in the middle of the bulk after so many. */
function crashing(store: Store, writes: number): Store {
  let left = writes;
  const collection: Store["collection"] = (model) => ({
    of: (workspace) => {
      const inner = store.collection(model).of(workspace);
      const bulk: typeof inner.bulk = async (list) => {
        if (left > 0) {
          left -= 1;
          return inner.bulk(list);
        }
        await inner.bulk(list.slice(0, Math.ceil(list.length / 2)));
        throw new Error("crash");
      };
      return { ...inner, bulk };
    },
  });
  return { ...store, collection };
}

function onlyCrash(error: Error): void {
  if (error.message !== "crash") throw error;
}
