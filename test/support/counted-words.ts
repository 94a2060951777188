import { type Doc, defineModel, type Model } from "#runtime/model.ts";
import { poisonModel } from "#runtime/runner/poison.ts";
import type { Projection } from "#runtime/service.ts";

/** How often a word was on the log. */
export interface TallyDoc extends Doc {
  count: number;
  position: number;
}

/** Tallies by word. */
export const tallyModel = defineModel<TallyDoc>({
  name: "test.tallies",
  fields: { count: { kind: "number", required: true }, position: { kind: "number", required: true } },
  indexes: [],
});

/** The workspace of the tallies. */
export const TALLY_WORKSPACE = "tallies";

/** Counts each payload as a word, by the rules for projections: a count does nothing for a position it has seen. */
export const tallyProjection: Projection = {
  name: "tally",
  subjects: ["touches.marketing"],
  project: async (entries, { store }) => {
    const tallies = store.collection(tallyModel).of(TALLY_WORKSPACE);
    for (const { payload, position } of entries) {
      const word = Buffer.from(payload).toString();
      if (word.startsWith("poison")) throw new TypeError(`cannot take ${word}`);
      const change = { inc: { count: 1 }, max: { position } };
      const guard = { where: { position: { lt: position } } };
      await tallies.bulk([{ kind: "update", id: word, change, guard, upsert: { count: 0, position: 0 } }]);
    }
  },
};

/** Breaks the thread that it runs in, as a fault outside of any promise does. */
const deadlyProjection: Projection = {
  name: "deadly",
  subjects: ["keys.changed"],
  project: async () => {
    setImmediate(() => {
      throw new Error("the thread is broken");
    });
  },
};

/** What a projector thread runs in tests. */
export const projections: readonly Projection[] = [tallyProjection, deadlyProjection];

/** What its store holds. */
export const models: readonly Model<Doc>[] = [tallyModel, poisonModel];
