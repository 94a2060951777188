import type { Doc, Model } from "#runtime/model.ts";
import { poisonModel } from "#runtime/runner/poison.ts";
import type { Projection } from "#runtime/service.ts";

/** The projections of all services that the all-in-one runs in the thread that writes the store. */
export const projections: readonly Projection[] = [];

/** Models of everything that lies in that store: those of all services, and what projections set aside. */
export const models: readonly Model<Doc>[] = [poisonModel];
