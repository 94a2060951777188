import { setTimeout as delay } from "node:timers/promises";
import { fail } from "../reasons.ts";
import { deviceOf, visitorOf } from "../rules.ts";
import { claim, confirm, release, releaseAll } from "./claims.ts";
import { docIdOf, findVisitor, put, visitorsOf, type World } from "./documents.ts";
import type { VisitorDoc } from "./model.ts";
import { forgotten, gone, isLive, merged, type Said, survivorOf, withSaid } from "./rules.ts";

/** Writers who meet at one visitor try again so often; the later the try, the longer they wait, by chance. */
const TRIES = 40;
const LONGEST_WAIT_MS = 20;

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

/** What one saying has done so far, over all its tries. */
interface Done {
  created: boolean | undefined;
  mergedIds: string[];
  /** The visitor as it was when it still had another address. */
  left: VisitorDoc | undefined;
}

/**
 * Keeps what is said of a visitor. Who gets an address that another visitor has, is that visitor: both become one. Whatever
 * others write at the same time, each write is made upon what stands there, or tried again; all of it may be repeated.
 */
export async function keepSaid(world: World, saying: Saying): Promise<Outcome> {
  const done: Done = { created: undefined, mergedIds: [], left: undefined };
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    const doc = await trySaying(world, saying, { done, attempt });
    if (doc !== undefined) {
      if (done.left !== undefined) await release(world, done.left);
      return { doc, created: done.created === true, mergedIds: done.mergedIds };
    }
    await delay(Math.random() * Math.min(attempt, LONGEST_WAIT_MS));
  }
  throw fail("VISITOR_BUSY");
}

/** The visitor when all is done; undefined: others wrote too, or two were made one, so look again. */
async function trySaying(
  world: World,
  saying: Saying,
  { done, attempt }: { done: Done; attempt: number },
): Promise<VisitorDoc | undefined> {
  const base = await baseOf(world, saying);
  done.created ??= base.identifiedAt === undefined;
  const next = withAll(base, saying);
  if (base.email !== undefined && base.email !== next.email) done.left = base;
  const claimed = next.email === undefined ? "own" : await claim(world, next, attempt);
  if (claimed === "busy") return undefined;
  if (claimed !== "own") {
    const goes = await join(world, { base, other: claimed, saying });
    if (goes === undefined) return undefined;
    if (claimed.identifiedAt !== undefined) done.created = false;
    if (!done.mergedIds.includes(goes)) done.mergedIds.push(goes);
    return undefined;
  }
  const stored = await put(world, next);
  if (stored === undefined) return undefined;
  // Whoever took the claim before the address stood in the document is told by this write, or tells us.
  if (stored.email !== undefined && !(await confirm(world, stored))) return undefined;
  return stored;
}

/** The visitor of whom something is said, as it is now; a new one when nothing is known of it, or nothing any more. */
async function baseOf(world: World, { visitorId, at }: Saying): Promise<VisitorDoc> {
  const known = await findVisitor(world, visitorId);
  if (known !== undefined && isLive(known)) return known;
  const id = docIdOf(world.test, visitorId);
  const { version, erasedTo } = (await visitorsOf(world).get(id)) ?? {};
  const devices = [deviceOf(visitorId)];
  return { id, visitorId, test: world.test, version, erasedTo, attributes: {}, devices, updatedAt: at };
}

/** Whoever tells an address says who it is. */
function withAll(doc: VisitorDoc, { said, once, at, identifies }: Saying): VisitorDoc {
  const next = withSaid(doc, said, { once, at });
  if (identifies || next.email !== undefined) next.identifiedAt ??= at;
  return next;
}

/**
 * Makes two visitors one: first the one that stays gets everything, and what is said with it; then the other one points
 * to it. The id of the one that is part of the other now; undefined: somebody else wrote.
 */
async function join(
  world: World,
  { base, other, saying }: { base: VisitorDoc; other: VisitorDoc; saying: Saying },
): Promise<string | undefined> {
  const { at } = saying;
  const [stays, goes] = survivorOf({ ...base, identifiedAt: base.identifiedAt ?? at }, other);
  if ((await put(world, withAll(merged(stays, goes, at), saying))) === undefined) return undefined;
  if ((await put(world, gone(goes, { into: stays.visitorId, at }))) === undefined) return undefined;
  return goes.visitorId;
}

/**
 * Forgets what is known of a visitor and of those that are part of it, and its claims. `position`: the head of the log. Its
 * devices, whose events have to go: they stay noted until `forgetTold`, so that a repetition finds them.
 */
export async function forget(
  world: World,
  { visitorId, at, position }: { visitorId: string; at: number; position: number },
): Promise<readonly string[]> {
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    const doc = (await findVisitor(world, visitorId)) ?? blank(world, visitorId, at);
    const devices = doc.devices.length > 0 ? doc.devices : [deviceOf(doc.visitorId)];
    const stored = await put(world, forgotten(doc, { at, position, devices }));
    if (stored !== undefined) {
      const ids = devices.map(visitorOf);
      for (const id of ids) if (id !== doc.visitorId) await forgetPart(world, { visitorId: id, at, position });
      await releaseAll(world, ids);
      return devices;
    }
    await delay(Math.random() * Math.min(attempt, LONGEST_WAIT_MS));
  }
  throw fail("VISITOR_BUSY");
}

/** What was part of a visitor is forgotten with it; but not who has come with that device since then. */
async function forgetPart(world: World, given: { visitorId: string; at: number; position: number }): Promise<void> {
  const { visitorId, at, position } = given;
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    const doc = (await visitorsOf(world).get(docIdOf(world.test, visitorId))) ?? blank(world, visitorId, at);
    if (doc.version !== undefined && doc.mergedInto === undefined) return;
    if ((await put(world, forgotten(doc, { at, position, devices: [] }))) !== undefined) return;
  }
  throw fail("VISITOR_BUSY");
}

function blank({ test }: World, visitorId: string, at: number): VisitorDoc {
  return { id: docIdOf(test, visitorId), visitorId, test, attributes: {}, devices: [], updatedAt: at };
}

/** Notes that the log says at `position` that these devices are forgotten: all of them before it is. */
export async function forgetTold(world: World, devices: readonly string[], position: number): Promise<void> {
  for (const device of devices) {
    const id = docIdOf(world.test, visitorOf(device));
    await visitorsOf(world).update(id, { max: { erasedTo: position } });
    await visitorsOf(world).update(id, { set: { devices: [] } }, { where: { erasedAt: { exists: true } } });
  }
}
