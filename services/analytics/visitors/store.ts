import { createHash } from "node:crypto";
import type { Store } from "#runtime/store.ts";
import { fail } from "../reasons.ts";
import { deviceOf, visitorOf } from "../rules.ts";
import { type ClaimDoc, claimModel, type VisitorDoc, visitorModel } from "./model.ts";
import { forgotten, gone, merged, type Said, survivorOf, withSaid } from "./rules.ts";

/** Visitors of one workspace and one world. */
export interface World {
  store: Store;
  workspace: string;
  test: boolean;
}

/** Writers who meet at one visitor try again so often. */
const TRIES = 20;

/** A visitor is part of one that is part of another at most so often before it is an error. */
const MOST_STEPS = 50;

/** Id of a visitor's document. */
export function docIdOf(test: boolean, visitorId: string): string {
  return `${test ? "test" : "live"}:${visitorId}`;
}

function claimIdOf(test: boolean, email: string): string {
  return `${test ? "test" : "live"}:${createHash("sha256").update(email).digest("hex")}`;
}

const visitorsOf = ({ store, workspace }: World) => store.collection(visitorModel).of(workspace);
const claimsOf = ({ store, workspace }: World) => store.collection(claimModel).of(workspace);

/** The visitor of this id, or the one that it is part of; undefined: nothing was said of it. */
export async function findVisitor(world: World, visitorId: string): Promise<VisitorDoc | undefined> {
  let id = visitorId;
  for (let step = 0; step < MOST_STEPS; step += 1) {
    const doc = await visitorsOf(world).get(docIdOf(world.test, id));
    if (doc?.mergedInto === undefined) return doc;
    id = doc.mergedInto;
  }
  throw fail("VISITOR_BUSY");
}

/** What became of visitors. */
export interface Outcome {
  doc: VisitorDoc;
  /** It was not identified before. */
  created: boolean;
  /** Visitors that are part of it now. */
  mergedIds: string[];
}

/** What is said of whom. `identifies`: by somebody who saw the person, and not only as a change. */
export interface Saying {
  visitorId: string;
  said: Said;
  once: boolean;
  identifies: boolean;
  at: number;
}

/**
 * Keeps what is said of a visitor. Who gets an address that another visitor has, is that visitor: both become one. Whatever
 * others write at the same time, each write is made upon what stands there, or tried again.
 */
export async function keepSaid(world: World, saying: Saying): Promise<Outcome> {
  const mergedIds: string[] = [];
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    const known = await findVisitor(world, saying.visitorId);
    const doc = known?.erasedAt === undefined && known !== undefined ? known : anew(world, saying, known);
    const created = doc.identifiedAt === undefined;
    const next = withSaid(doc, saying.said, saying);
    if (saying.identifies) next.identifiedAt ??= saying.at;
    const other = next.email === undefined ? undefined : await claim(world, next);
    if (other !== undefined) {
      const [stays, goes] = survivorOf({ ...next, identifiedAt: next.identifiedAt ?? saying.at }, other);
      if (!(await join(world, { stays, goes, at: saying.at, fresh: known === undefined }))) continue;
      mergedIds.push(goes.visitorId);
      const stored = await findVisitor(world, stays.visitorId);
      if (stored === undefined) continue;
      return { doc: stored, created: created && other.identifiedAt === undefined, mergedIds };
    }
    const stored = await put(world, next, known !== undefined);
    if (stored === undefined) continue;
    if (doc.email !== undefined && doc.email !== next.email) await release(world, doc);
    return { doc: stored, created, mergedIds };
  }
  throw fail("VISITOR_BUSY");
}

/** A visitor of whom nothing was said yet, or nothing since it was forgotten. */
function anew({ test }: World, { visitorId, at }: Saying, before: VisitorDoc | undefined): VisitorDoc {
  const device = deviceOf(visitorId);
  const id = docIdOf(test, visitorId);
  const { version, erasedTo } = before ?? {};
  return { id, visitorId, test, version, erasedTo, attributes: {}, devices: [device], updatedAt: at };
}

/** Claims the address of a visitor; the other one that has it, or undefined when it is this one's now. */
async function claim(world: World, { visitorId, email = "" }: VisitorDoc): Promise<VisitorDoc | undefined> {
  const claims = claimsOf(world);
  const id = claimIdOf(world.test, email);
  const outcome = await claims.insert({ id, visitorId });
  if (outcome.kind !== "exists") return undefined;
  const other = await findVisitor(world, outcome.doc.visitorId);
  if (other?.visitorId === visitorId) return undefined;
  if (other !== undefined && other.erasedAt === undefined && other.email === email) return other;
  // Whoever claimed it has not got it, any more or yet: the address is this one's.
  await claims.update(id, { set: { visitorId } }, { version: (outcome.doc as ClaimDoc).version });
  return undefined;
}

async function release(world: World, { email = "", visitorId }: VisitorDoc): Promise<void> {
  const claims = claimsOf(world);
  const id = claimIdOf(world.test, email);
  if ((await claims.get(id))?.visitorId === visitorId) await claims.delete(id);
}

interface Joining {
  stays: VisitorDoc;
  goes: VisitorDoc;
  at: number;
  /** The one of the request is not stored yet. */
  fresh: boolean;
}

/** Makes two visitors one: first the one that stays gets everything. False: somebody else wrote, try again. */
async function join(world: World, { stays, goes, at, fresh }: Joining): Promise<boolean> {
  const all = merged(stays, goes, at);
  const stored = await put(world, all, stays.version !== undefined || !fresh);
  if (stored === undefined) return false;
  const left = gone(goes, { into: stays.visitorId, at });
  if ((await put(world, left, goes.version !== undefined)) === undefined) return false;
  if (all.email !== undefined) {
    const id = claimIdOf(world.test, all.email);
    await claimsOf(world).update(id, { set: { visitorId: stays.visitorId } });
  }
  return true;
}

const OPTIONAL = [
  "email",
  "phone",
  "firstName",
  "lastName",
  "mergedInto",
  "identifiedAt",
  "erasedAt",
  "erasedTo",
] as const;

/** Stores a visitor upon the version that it was made from; undefined: that is not there any more. */
async function put(world: World, doc: VisitorDoc, exists: boolean): Promise<VisitorDoc | undefined> {
  const visitors = visitorsOf(world);
  if (!exists || doc.version === undefined) {
    const { version: _none, ...fresh } = doc;
    const outcome = await visitors.insert(fresh);
    return outcome.kind === "applied" ? visitors.get(doc.id) : undefined;
  }
  const { id, version, ...fields } = doc;
  const unset = OPTIONAL.filter((name) => doc[name] === undefined);
  const set = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
  return visitors.update(id, { set, unset }, { version });
}

/** Forgets a visitor and those that are part of it; `position`: up to where on the log. */
export async function forget(
  world: World,
  { visitorId, devices, at, position }: { visitorId: string; devices: readonly string[]; at: number; position: number },
): Promise<void> {
  const doc = await findVisitor(world, visitorId);
  if (doc?.email !== undefined) await release(world, doc);
  const visitors = visitorsOf(world);
  for (const device of devices) {
    const id = docIdOf(world.test, visitorOf(device));
    for (let attempt = 0; attempt < TRIES; attempt += 1) {
      const before = await visitors.get(id);
      const base = before ?? {
        id,
        visitorId: visitorOf(device),
        test: world.test,
        attributes: {},
        devices: [],
        updatedAt: at,
      };
      if ((await put(world, forgotten(base, { at, position }), before !== undefined)) !== undefined) break;
    }
  }
}
