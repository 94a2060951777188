import type { Schema } from "./constraints.ts";

const header = (name: string, description: string): Schema => ({
  name,
  in: "header",
  description,
  schema: { type: "string" },
});

/** Request headers of a file that is answered in parts. */
export const RANGE_PARAMETERS: readonly Schema[] = [
  header(
    "Range",
    "One part of the file: `bytes=0-99`, `bytes=100-`, `bytes=-100`. Several parts are answered with the whole file.",
  ),
  header("If-Range", "The ETag of what is there already: `Range` holds only while the file is the same."),
  header("If-None-Match", "ETags that are there already: 304 while the file is one of them."),
];

const said = (description: string): Schema => ({ description, schema: { type: "string" } });

/** What a file answers beside 200. */
export const RANGE_RESPONSES: Schema = {
  206: {
    description: "The part that Range asks for.",
    headers: { "Content-Range": said("`bytes 0-99/1000`"), ETag: said("Tag of the whole file.") },
    content: { "*/*": { schema: { type: "string", format: "binary" } } },
  },
  304: { description: "The file is the one that If-None-Match names." },
  416: {
    description: "The file has no such part.",
    headers: { "Content-Range": said("`bytes */1000`: the length of the file.") },
  },
};
