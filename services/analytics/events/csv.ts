/** What a cell may hold; undefined is an empty cell. */
export type Cell = string | number | bigint | undefined;

/** CSV by RFC 4180; a text that a spreadsheet would take for a formula is preceded by an apostrophe. */
export function toCsv(header: readonly string[], rows: readonly (readonly Cell[])[]): string {
  return [header, ...rows].map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

function cell(value: Cell): string {
  if (typeof value !== "string") return value === undefined ? "" : String(value);
  // =1+1, +1, -1, @sum(A1), and the same behind a tab or a line break
  const safe = /^[=+\-@\t\r\n]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
