import type { HandlerContext } from "@connectrpc/connect";
import { Purpose } from "#gen/waymark/events/v1/touches_pb.ts";
import { contextOf } from "#runtime/context.ts";
import { DAY_MS, wallOf } from "./scope.ts";

/** A development key sees so many days. */
const TEST_DAYS = 30;

/** What a caller of the Scans API sees. */
export interface Sight {
  workspace: string;
  /** Marketing scans, test data or the others. */
  wall: string;
  /** Calendar days that are shown; undefined: all. */
  floorDays: number | undefined;
  /** Nothing before this time is shown. */
  floor: number | undefined;
}

/** Only marketing scans of its own workspace; a development key only test data, and of that the last 30 days. */
export function sightOf(handler: HandlerContext): Sight {
  const { principal, now } = contextOf(handler);
  const { workspace, test } = principal;
  return {
    workspace,
    wall: wallOf({ purpose: Purpose.MARKETING, test }),
    floorDays: test ? TEST_DAYS : undefined,
    floor: test ? now() - TEST_DAYS * DAY_MS : undefined,
  };
}
