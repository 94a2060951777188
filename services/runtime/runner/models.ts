import type { Doc, Model } from "../model.ts";
import { leaseModel } from "./lease-model.ts";
import { poisonModel } from "./poison.ts";

/** What a store must hold for `runProjections` with a lease. */
export const runnerModels: readonly Model<Doc>[] = [poisonModel, leaseModel];
