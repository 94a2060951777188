import type { Store } from "#runtime/store.ts";
import { fail } from "../reasons.ts";
import { weightsModel } from "./model.ts";
import { DEFAULT_WEIGHTS, type Parts } from "./parts.ts";

/** Weights with their version; 0 and no time while nobody has set any. */
export interface Scoring {
  weights: Parts;
  version: number;
  updatedAt: number | undefined;
}

/** Whose weights. */
export interface Owner {
  workspace: string;
  test: boolean;
}

const idOf = ({ test }: Owner): string => (test ? "test" : "real");

/** The weights of a workspace. */
export async function scoringOf(store: Store, owner: Owner): Promise<Scoring> {
  const found = await store.collection(weightsModel).of(owner.workspace).get(idOf(owner));
  if (found === undefined) return { weights: DEFAULT_WEIGHTS, version: 0, updatedAt: undefined };
  return { weights: found.weights, version: found.revision, updatedAt: found.updatedAt };
}

/** Sets the weights; refuses when `expected` is given and another version stands, or somebody else sets them just now. */
export async function setScoring(
  store: Store,
  owner: Owner,
  given: { weights: Parts; expected: number | undefined; now: number },
): Promise<Scoring> {
  const stored = store.collection(weightsModel).of(owner.workspace);
  const { version } = await scoringOf(store, owner);
  if (given.expected !== undefined && given.expected !== version) throw fail("SCORING_CHANGED", { version });
  const fresh = { weights: given.weights, revision: version + 1, updatedAt: given.now };
  const isSet =
    version === 0
      ? (await stored.insert({ id: idOf(owner), ...fresh })).kind === "applied"
      : (await stored.update(idOf(owner), { set: fresh }, { where: { revision: version } })) !== undefined;
  if (!isSet) throw fail("SCORING_CHANGED", { version: version + 1 });
  return { weights: fresh.weights, version: fresh.revision, updatedAt: fresh.updatedAt };
}
