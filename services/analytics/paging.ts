import { encodeCursor } from "./cursor.ts";
import type { Page } from "./events/events.ts";

/** What a page says of its list. */
export interface Paging {
  hasMore: boolean;
  /** Empty at the end. */
  nextPageToken: string;
  totalCount: bigint;
}

/** What a page says of the list: `end` is where it ends. */
export function pagingOf(page: Page, question: unknown, end: { key: number; id: string } | undefined): Paging {
  const { hasMore, total, upTo } = page;
  const nextPageToken = hasMore && end !== undefined ? encodeCursor(question, { ...end, upTo, total }) : "";
  return { hasMore, nextPageToken, totalCount: BigInt(total) };
}

/** A page as CSV in JSON. */
export function csv(csvData: string, paging: Paging) {
  return { csv: { contentType: "text/csv", csvData, ...paging } };
}
