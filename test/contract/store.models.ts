import { defineModel } from "#runtime/model.ts";
import type { Store } from "#runtime/store.ts";

/** A document with a field of every kind. */
export interface Thing {
  id: string;
  version?: number;
  kind: string;
  at?: number;
  size?: number;
  live?: boolean;
  owner?: string;
  slug?: string;
  note?: string;
  labels?: string[];
  counts?: Record<string, unknown>;
  items?: unknown[];
}

export const things = defineModel<Thing>({
  name: "contract.things",
  fields: {
    kind: { kind: "string", required: true },
    at: { kind: "number" },
    size: { kind: "number", default: 0 },
    live: { kind: "boolean" },
    owner: { kind: "string" },
    slug: { kind: "string" },
    note: { kind: "string" },
    labels: { kind: "strings", default: ["new"] },
    counts: { kind: "object" },
    items: { kind: "list" },
  },
  indexes: [
    { name: "kind_at", fields: ["kind", "at"] },
    { name: "live_size", fields: ["live", "size"] },
    { name: "owner_slug", fields: ["owner", "slug"], unique: true },
  ],
});

/** A second collection, so that one is not taken for the other. */
export const others = defineModel<{ id: string; version?: number; kind: string }>({
  name: "contract.others",
  fields: { kind: { kind: "string" } },
  indexes: [],
});

/** What an engine must be opened with to run the suite. */
export const contractModels = [things, others] as const;

/** An engine under test. */
export interface Opened {
  store: Store;
  /** Closes and opens the same data again. */
  reopen: () => Promise<Store>;
  close: () => Promise<void>;
}

/** What every part of the suite gets. Workspaces and names are fresh for each test, so an engine may keep its data. */
export interface Bench {
  store: () => Store;
  reopen: () => Promise<void>;
  /** A name that no other test uses. */
  fresh: () => string;
}
