import type { Collection, Store } from "#runtime/store.ts";
import { fail } from "../reasons.ts";
import { type VisitorDoc, visitorModel } from "./model.ts";

/** Visitors of one workspace and one world. */
export interface World {
  store: Store;
  workspace: string;
  test: boolean;
}

/** A visitor is part of one that is part of another at most so often before it is an error. */
const MOST_STEPS = 50;

/** Id of a visitor's document. */
export function docIdOf(test: boolean, visitorId: string): string {
  return `${test ? "test" : "live"}:${visitorId}`;
}

/** Documents of the visitors of a workspace. */
export function visitorsOf({ store, workspace }: Pick<World, "store" | "workspace">): Collection<VisitorDoc> {
  return store.collection(visitorModel).of(workspace);
}

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

const OPTIONAL = [
  ...["email", "phone", "firstName", "lastName", "profileAt"],
  ...["mergedInto", "identifiedAt", "erasedAt", "erasedTo"],
] as const satisfies readonly (keyof VisitorDoc)[];

/** Stores a visitor upon the version that it was made from; undefined: that is not there any more. */
export async function put(world: World, doc: VisitorDoc): Promise<VisitorDoc | undefined> {
  const visitors = visitorsOf(world);
  const { id, version, ...fields } = doc;
  if (version === undefined) {
    const outcome = await visitors.insert({ id, ...fields });
    return outcome.kind === "applied" ? visitors.get(id) : undefined;
  }
  const unset = OPTIONAL.filter((name) => doc[name] === undefined);
  const set = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
  return visitors.update(id, { set, unset }, { version });
}
