import { openSqliteStore } from "#runtime/store.sqlite.ts";
import { contractModels, things } from "./store.models.ts";

/** A process that counts until it is killed: three counters, the watermark their sum. It tells each position that is committed. */
const [, , path = ""] = process.argv;
const store = openSqliteStore({ path, models: contractModels });
const docs = store.collection(things).of("w");
for (let from = await store.watermark("counting"); ; ) {
  const to = from + 1 + (from % 40);
  await store.batch(async () => {
    for (let position = from + 1; position <= to; position++) {
      const change = { inc: { size: 1 }, max: { at: position } };
      await docs.bulk([{ kind: "update", id: `t${position % 3}`, change, upsert: { kind: "cup" } }]);
    }
    await store.advance("counting", from, to);
  });
  from = to;
  process.stdout.write(`${to}\n`);
}
