import type { Doc, Model } from "#runtime/model.ts";

/** Everything that the service stores beside its table of events; each model stands where it is used. */
export const analyticsModels: readonly Model<Doc>[] = [];
