import { createHash } from "node:crypto";
import { docIdOf, findVisitor, type World } from "./documents.ts";
import { claimModel, type VisitorDoc } from "./model.ts";
import { isLive } from "./rules.ts";

/** Whose an address is: this visitor's, or another one's, or that is being decided by others. */
export type Claimed = "own" | "busy" | VisitorDoc;

/** A claim that is being deleted is left alone so often; after that whoever deletes it has died. */
const PATIENCE = 30;

function claimIdOf(test: boolean, email: string): string {
  return docIdOf(test, createHash("sha256").update(email).digest("hex"));
}

const claimsOf = ({ store, workspace }: World) => store.collection(claimModel).of(workspace);

/**
 * Claims the address of a visitor. A claim is taken from a visitor that has not got the address in its document, and only as
 * the claim was read; who holds it writes it once more after the document (`confirm`), so of two that claim at the same time
 * one learns of the other.
 */
export async function claim(world: World, { visitorId, email = "" }: VisitorDoc, attempt: number): Promise<Claimed> {
  const claims = claimsOf(world);
  const id = claimIdOf(world.test, email);
  const outcome = await claims.insert({ id, visitorId });
  if (outcome.kind !== "exists") return outcome.kind === "applied" ? "own" : "busy";
  const held = outcome.doc;
  if (held.visitorId === visitorId) return "own";
  if (held.visitorId === "" && attempt < PATIENCE) return "busy";
  const other = held.visitorId === "" ? undefined : await findVisitor(world, held.visitorId);
  if (other !== undefined && other.visitorId !== visitorId && isLive(other) && other.email === email) return other;
  const taken = await claims.update(id, { set: { visitorId } }, { version: held.version as number });
  return taken === undefined ? "busy" : "own";
}

/** Writes the claim of a visitor again, whose document has the address now. False: it is another one's. */
export async function confirm(world: World, { visitorId, email = "" }: VisitorDoc): Promise<boolean> {
  const id = claimIdOf(world.test, email);
  const confirmed = await claimsOf(world).update(id, { set: { visitorId } }, { where: { visitorId } });
  return confirmed !== undefined;
}

/** Gives up the claim of an address that the visitor has no longer. */
export async function release(world: World, { email = "", visitorId }: VisitorDoc): Promise<void> {
  await drop(world, { id: claimIdOf(world.test, email), visitorId });
}

/** Gives up all that these visitors have claimed in their world and have no longer. */
export async function releaseAll(world: World, visitorIds: readonly string[]): Promise<void> {
  const held = await claimsOf(world).find({ where: { visitorId: { in: visitorIds } } });
  for (const { id, visitorId } of held)
    if (id.startsWith(docIdOf(world.test, ""))) await drop(world, { id, visitorId });
}

/**
 * First makes a claim nobody's, as it was before the visitor was seen to be without the address, and then deletes it: so it
 * is not taken from who has it by now.
 */
async function drop(world: World, { id, visitorId }: { id: string; visitorId: string }): Promise<void> {
  const claims = claimsOf(world);
  const held = await claims.get(id);
  if (held?.visitorId !== visitorId) return;
  const doc = await findVisitor(world, visitorId);
  if (doc?.email !== undefined && claimIdOf(world.test, doc.email) === id) return;
  const left = await claims.update(id, { set: { visitorId: "" } }, { version: held.version as number });
  if (left !== undefined) await claims.delete(id);
}
