import type { Store } from "#runtime/store.ts";
import { type TouchDoc, touchModel } from "./model.ts";
import { type Selection, whereOf } from "./totals.ts";

/** A page of a list. */
export interface Page {
  skip: number;
  limit: number;
}

/** The scans that are meant, newest first, ties by id. */
export async function pageOfScans(store: Store, selection: Selection, { skip, limit }: Page): Promise<TouchDoc[]> {
  const touches = store.collection(touchModel).of(selection.workspace);
  const ordered = (isHuman: boolean) => ({ where: whereOf(selection, isHuman), sort: [["scannedAt", -1]] as const });
  if (!selection.includeBots) return touches.find({ ...ordered(true), skip, limit });
  const merged = merge(docsOf(touches.stream(ordered(true))), docsOf(touches.stream(ordered(false))));
  const page: TouchDoc[] = [];
  let left = skip;
  for await (const doc of merged) {
    if (left > 0) left -= 1;
    else page.push(doc);
    if (page.length === limit) break;
  }
  return page;
}

async function* docsOf(chunks: AsyncIterable<TouchDoc[]>): AsyncGenerator<TouchDoc, undefined> {
  for await (const docs of chunks) yield* docs;
}

type Docs = AsyncGenerator<TouchDoc, undefined>;

/** Two lists in the same order as one. */
async function* merge(left: Docs, right: Docs): AsyncGenerator<TouchDoc> {
  try {
    let [a, b] = [await left.next(), await right.next()];
    while (a.value !== undefined || b.value !== undefined) {
      if (b.value === undefined || (a.value !== undefined && isBefore(a.value, b.value))) {
        yield a.value as TouchDoc;
        a = await left.next();
      } else {
        yield b.value;
        b = await right.next();
      }
    }
  } finally {
    await left.return(undefined);
    await right.return(undefined);
  }
}

function isBefore(a: TouchDoc, b: TouchDoc): boolean {
  return a.scannedAt === b.scannedAt ? a.id > b.id : a.scannedAt > b.scannedAt;
}
