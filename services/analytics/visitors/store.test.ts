import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openSqliteStore } from "#runtime/store.sqlite.ts";
import type { Collection, Store } from "#runtime/store.ts";
import { visitorOf } from "../rules.ts";
import { docIdOf, findVisitor, visitorsOf, type World } from "./documents.ts";
import { claimModel, visitorModel } from "./model.ts";
import { isLive } from "./rules.ts";
import { forget, forgetTold, keepSaid, type Saying } from "./store.ts";

const folder = mkdtempSync(join(tmpdir(), "waymark-visitors-"));
let store: Store;
beforeAll(() => {
  store = openSqliteStore({ path: join(folder, "store.db"), models: [visitorModel, claimModel] });
});
afterAll(async () => {
  await store.close();
  rmSync(folder, { recursive: true });
});

let run = 0;
const worldIn = (given: Store = store): World => ({ store: given, workspace: `w${run}`, test: false });

type Data = Record<string, string | number | null>;

const sayingOf = (device: string, said: Data, given: Partial<Saying> = {}): Saying => ({
  ...{ visitorId: visitorOf(device), said, once: false, identifies: true, at: 1_000 },
  ...given,
});

const DEVICES = ["a", "b", "c", "d"];

/** A visitor in plain values. */
interface Person {
  id: string;
  devices: string[];
  since: number | undefined;
  known: Record<string, { value: string | number; at: number }>;
}

interface Deed {
  device: string;
  kind: "identify" | "once" | "patch" | "delete";
  data: Data;
}

function personWith(people: Person[], device: string): Person {
  const found = people.find(({ devices }) => devices.includes(device));
  if (found !== undefined) return found;
  const fresh = { id: visitorOf(device), devices: [device], since: undefined, known: {} };
  people.push(fresh);
  return fresh;
}

function told({ known }: Person, { kind, data }: Deed, at: number): void {
  for (const [key, value] of Object.entries(data)) {
    if (kind === "once" && known[key] !== undefined) continue;
    if (value === null) delete known[key];
    else known[key] = { value, at };
  }
}

/** Does a deed to people in plain values: the definition, without thought of speed or of others. */
function act(people: Person[], deed: Deed, at: number): void {
  let person = personWith(people, deed.device);
  if (deed.kind === "delete") {
    people.splice(people.indexOf(person), 1);
    return;
  }
  const after = structuredClone(person);
  told(after, deed, at);
  const email = after.known.$email?.value;
  if (deed.kind !== "patch" || email !== undefined) person.since ??= at;
  const other = people.find((one) => one !== person && email !== undefined && one.known.$email?.value === email);
  if (other !== undefined) {
    const [stays, goes] = [person, other].toSorted(
      (one, two) => (one.since ?? 0) - (two.since ?? 0) || (one.id < two.id ? -1 : 1),
    ) as [Person, Person];
    stays.devices = [...stays.devices, ...goes.devices].toSorted();
    for (const [key, theirs] of Object.entries(goes.known))
      if (stays.known[key] === undefined || stays.known[key].at < theirs.at) stays.known[key] = theirs;
    people.splice(people.indexOf(goes), 1);
    person = stays;
  }
  told(person, deed, at);
}

/** The same deed to the documents. */
async function actOn(world: World, { device, kind, data }: Deed, at: number): Promise<void> {
  const visitorId = (await findVisitor(world, visitorOf(device)))?.visitorId ?? visitorOf(device);
  if (kind !== "delete") {
    await keepSaid(world, { visitorId, said: data, once: kind === "once", identifies: kind !== "patch", at });
    return;
  }
  const devices = await forget(world, { visitorId, at, position: at });
  await forgetTold(world, devices, at);
}

/** What stands in the documents about the visitor of a device. */
async function shownOf(world: World, device: string) {
  const doc = await findVisitor(world, visitorOf(device));
  if (doc === undefined || !isLive(doc)) return undefined;
  const { visitorId: id, devices, identifiedAt: since, email, phone, attributes } = doc;
  const profile = {
    ...(email === undefined ? {} : { $email: email }),
    ...(phone === undefined ? {} : { $phone: phone }),
  };
  const plain = Object.entries(attributes).map(([key, { text, number }]) => [key, number ?? text]);
  return { id, devices, since, known: { ...profile, ...Object.fromEntries(plain) } };
}

const wantedOf = (people: Person[], device: string) => {
  const person = people.find(({ devices }) => devices.includes(device));
  if (person === undefined) return undefined;
  const known = Object.fromEntries(Object.entries(person.known).map(([key, { value }]) => [key, value]));
  return { id: person.id, devices: person.devices, since: person.since, known };
};

const datum = fc
  .record(
    {
      $email: fc.constantFrom("x@example.com", "y@example.com", null),
      $phone: fc.constantFrom("1", "2", null),
      plan: fc.constantFrom("free", "pro", 3, null),
      "a.b": fc.constantFrom("1", null),
    },
    { requiredKeys: [] },
  )
  .filter((data) => Object.keys(data).length > 0);

const deeds = fc.array(
  fc.record({
    device: fc.constantFrom(...DEVICES),
    kind: fc.constantFrom(...(["identify", "identify", "once", "patch", "delete"] as const)),
    data: datum as fc.Arbitrary<Data>,
  }),
  { minLength: 1, maxLength: 12 },
);

it("visitors are what plain code finds, whatever is said in whatever order", async () => {
  const property = fc.asyncProperty(deeds, async (history) => {
    run += 1;
    const world = worldIn();
    const people: Person[] = [];
    for (const [n, deed] of history.entries()) {
      act(people, deed, 1_000 + n);
      await actOn(world, deed, 1_000 + n);
    }
    for (const device of DEVICES) expect(await shownOf(world, device)).toEqual(wantedOf(people, device));
    const addresses = people.filter(({ known }) => known.$email !== undefined).length;
    expect(await store.collection(claimModel).of(world.workspace).count()).toBe(addresses);
  });
  await fc.assert(property, { numRuns: 60 });
});

it("keys are only names, whatever they are called", async () => {
  run += 1;
  const data = JSON.parse('{"__proto__": "a", "constructor": "b", "a.b": "c", "": "d"}');
  const { "": _none, ...said } = data;
  await keepSaid(worldIn(), sayingOf("a", said));
  const [doc] = await liveIn(worldIn());
  expect(
    Object.entries(doc?.attributes ?? {})
      .map(([key, { text }]) => `${key}=${text}`)
      .toSorted(),
  ).toEqual(["__proto__=a", "a.b=c", "constructor=b"]);
});

/** A store whose documents take a while, each time another; `before` may fail a call. */
function slow(before: (method: string) => void = () => {}): Store {
  const wrap = <T extends object>(collection: T): T =>
    new Proxy(collection, {
      get: (target, name) => {
        const method = Reflect.get(target, name) as (...given: unknown[]) => Promise<unknown>;
        return async (...given: unknown[]) => {
          await delay(Math.random() * 4);
          before(String(name));
          const answer = await method.apply(target, given);
          await delay(Math.random() * 4);
          return answer;
        };
      },
    });
  const collection: Store["collection"] = (model) => ({
    of: (workspace) => wrap(store.collection(model).of(workspace) as Collection<never>) as never,
  });
  return { ...store, collection };
}

async function liveIn(world: World) {
  return (await visitorsOf({ store, workspace: world.workspace }).find({})).filter(isLive);
}

describe("of those who write at the same time", () => {
  it("all who tell one address become one visitor with all devices", async () => {
    for (let round = 0; round < 5; round += 1) {
      run += 1;
      const world = worldIn(slow());
      const devices = ["a", "b", "c", "d", "e", "f"];
      const said = (device: string) => ({ $email: "one@example.com", [device]: "was here" });
      await Promise.all(devices.map((device) => keepSaid(world, sayingOf(device, said(device)))));
      const live = await liveIn(world);
      expect(live.map(({ devices: all, attributes }) => [all, Object.keys(attributes).toSorted()])).toEqual([
        [devices, devices],
      ]);
    }
  });

  it("nobody loses an address that somebody else gives up", async () => {
    for (let round = 0; round < 5; round += 1) {
      run += 1;
      const world = worldIn(slow());
      await keepSaid(world, sayingOf("a", { $email: "one@example.com" }));
      await Promise.all([
        keepSaid(world, sayingOf("a", { $email: "two@example.com" })),
        keepSaid(world, sayingOf("b", { $email: "one@example.com" })),
        keepSaid(world, sayingOf("c", { $email: "one@example.com" })),
      ]);
      await keepSaid(world, sayingOf("d", { $email: "one@example.com" }));
      const live = await liveIn(world);
      const addresses = live.map(({ email }) => email);
      expect(new Set(addresses).size).toBe(addresses.length);
      expect(live.flatMap(({ devices }) => devices).toSorted()).toEqual(["a", "b", "c", "d"]);
    }
  });
});

it("a process that dies between any two writes leaves what a repetition completes", async () => {
  const writes = new Set(["insert", "update", "delete"]);
  for (let deadAt = 1; deadAt < 12; deadAt += 1) {
    run += 1;
    await keepSaid(worldIn(), sayingOf("a", { $email: "one@example.com", plan: "pro" }, { at: 1 }));
    await keepSaid(worldIn(), sayingOf("b", { $email: "two@example.com", city: "Bern" }, { at: 2 }));
    let seen = 0;
    const dying = worldIn(
      slow((method) => {
        if (writes.has(method)) seen += 1;
        if (seen >= deadAt) throw new Error("the process is dead");
      }),
    );
    const saying = sayingOf("b", { $email: "one@example.com", plan: "free" }, { once: false, at: 3 });
    await keepSaid(dying, saying).catch(() => undefined);
    await keepSaid(worldIn(), saying);
    const live = await liveIn(worldIn());
    expect(live.map(({ visitorId, devices, email }) => [visitorId, devices, email])).toEqual([
      ["vis_a", ["a", "b"], "one@example.com"],
    ]);
    expect(
      Object.entries(live[0]?.attributes ?? {})
        .map(([key, { text }]) => `${key}=${text}`)
        .toSorted(),
    ).toEqual(["city=Bern", "plan=free"]);
  }
});

describe("a visitor that is forgotten", () => {
  it("keeps its devices noted until the log is told, so that a repetition finds them all", async () => {
    run += 1;
    for (const device of ["a", "b"]) await keepSaid(worldIn(), sayingOf(device, { $email: "one@example.com" }));
    const given = { visitorId: "vis_a", at: 5, position: 7 };
    expect(await forget(worldIn(), given)).toEqual(["a", "b"]);
    expect(await forget(worldIn(), given)).toEqual(["a", "b"]);
    await forgetTold(worldIn(), ["a", "b"], 9);
    const docs = await visitorsOf(worldIn()).find({});
    expect(docs.map(({ visitorId, devices, erasedTo }) => [visitorId, devices, erasedTo])).toEqual([
      ["vis_a", [], 9],
      ["vis_b", [], 9],
    ]);
    expect(JSON.stringify([docs, await store.collection(claimModel).of(worldIn().workspace).find({})])).not.toContain(
      "@",
    );
  });

  it("does not take along who comes with the device before the log is told", async () => {
    run += 1;
    await keepSaid(worldIn(), sayingOf("a", { $email: "one@example.com" }));
    const devices = await forget(worldIn(), { visitorId: "vis_a", at: 5, position: 7 });
    const { created } = await keepSaid(worldIn(), sayingOf("a", { $email: "new@example.com" }, { at: 6 }));
    await forgetTold(worldIn(), devices, 9);
    const doc = await visitorsOf(worldIn()).get(docIdOf(false, "vis_a"));
    expect([created, doc?.email, doc?.devices, doc?.erasedTo]).toEqual([true, "new@example.com", ["a"], 9]);
  });
});
