import type { Dialect } from "../dialects/dialect.ts";
import type { Schema } from "./constraints.ts";

const SHORT_ID = {
  name: "short_id",
  in: "path",
  required: true,
  description: "As printed.",
  schema: { type: "string" },
};

/** The addresses that are printed, and the pictures of them. They are for phones and not for programs, so no RPC stands behind them. */
export function printedPaths(dialects: readonly Dialect[]): Record<string, Record<string, Schema>> {
  const scans = dialects.find(({ name }) => name === "scans");
  if (scans === undefined) return {};
  return {
    "/s/{short_id}": { get: { ...redirect, tags: [scans.name], security: [] } },
    "/qr/{short_id}.png": { get: { ...picture("png", "image/png"), tags: [scans.name], security: [] } },
    "/qr/{short_id}.svg": { get: { ...picture("svg", "image/svg+xml"), tags: [scans.name], security: [] } },
  };
}

const page = (description: string): Schema => ({
  description,
  content: { "text/html": { schema: { type: "string" } } },
});

const redirect: Schema = {
  operationId: "followCode",
  summary: "Follows a printed code",
  description:
    "Records the scan and redirects to where the code leads now. Programs and prefetches are redirected too, and recorded as filtered. Never cached.",
  parameters: [SHORT_ID],
  responses: {
    200: page("The code has no destination: a page with its welcome message."),
    302: {
      description: "To the destination.",
      headers: { Location: { schema: { type: "string", format: "uri" } } },
    },
    404: page("No code has this short id."),
    410: page("The code is paused, put away or deleted."),
  },
};

function picture(format: string, contentType: string): Schema {
  const colour = { type: "string", pattern: "^#?([0-9A-Fa-f]{6}|[0-9A-Fa-f]{8})$" };
  return {
    operationId: `drawCode${format.charAt(0).toUpperCase()}${format.slice(1)}`,
    summary: `Draws a printed code as ${format.toUpperCase()}`,
    description: "The picture decodes to the code's `scan_url`.",
    parameters: [
      SHORT_ID,
      {
        name: "size",
        in: "query",
        description: "Pixels of a side.",
        schema: { type: "integer", minimum: 64, maximum: 4096 },
      },
      {
        name: "margin",
        in: "query",
        description: "Quiet modules around it.",
        schema: { type: "integer", minimum: 0, maximum: 16 },
      },
      {
        name: "ecc",
        in: "query",
        description: "Error correction.",
        schema: { type: "string", enum: ["L", "M", "Q", "H"] },
      },
      { name: "dark", in: "query", description: "Colour of the modules.", schema: colour },
      { name: "light", in: "query", description: "Colour of the ground.", schema: colour },
    ],
    responses: {
      200: {
        description: "The picture.",
        content: { [contentType]: { schema: { type: "string", format: "binary" } } },
      },
      304: { description: "The picture has not changed." },
      400: { $ref: "#/components/responses/scans400" },
      404: { $ref: "#/components/responses/scans404" },
    },
  };
}
