import type { Duck } from "../engine/duck.ts";

/** How far the feed has come. */
export interface Watermark {
  /** All up to this position of the log is in the table. */
  position: number;
  /** The table once had all that was on the log; until then its numbers are too small. */
  complete: boolean;
  /** When the last entry of it was appended, milliseconds since 1970; 0: nothing was. */
  appendedAt: number;
}

/** Reads how far the feed has come. */
export async function readWatermark(duck: Duck): Promise<Watermark> {
  const [row] = await duck.rows("SELECT position, complete, appended_at FROM watermark");
  return {
    position: Number(row?.position ?? 0),
    complete: row?.complete === true,
    appendedAt: Number(row?.appended_at ?? 0),
  };
}
