import { DeviceType, HttpMethod } from "#gen/waymark/analytics/v1/analytics_pb.ts";
import { DeviceType as TouchDeviceType } from "#gen/waymark/events/v1/touches_pb.ts";
import { fail } from "./reasons.ts";

/** A day whose clocks are not changed, in milliseconds; days of UTC are all as long. */
export const DAY_MS = 86_400_000;

/** The most intervals of one series. */
export const MOST_INTERVALS = 10_000;

/** The visitor that a device is, until somebody is identified. */
export function visitorOf(deviceId: string): string {
  return `vis_${deviceId}`;
}

/** The device of an anonymous visitor; a text that is no visitor's id matches no device. */
export function deviceOf(visitorId: string): string {
  return visitorId.startsWith("vis_") ? visitorId.slice(4) : "";
}

/** Kinds of devices as touches have them, in the words of this API. */
export function deviceTypeOf(type: number): DeviceType {
  switch (type) {
    case TouchDeviceType.MOBILE:
      return DeviceType.MOBILE;
    case TouchDeviceType.TABLET:
      return DeviceType.TABLET;
    case TouchDeviceType.DESKTOP:
      return DeviceType.DESKTOP;
    default:
      return DeviceType.UNKNOWN;
  }
}

/** HTTP methods in the words of this API; undefined for a scan sent through the API. */
export function methodOf(method: string | undefined): HttpMethod | undefined {
  if (method === "GET") return HttpMethod.GET;
  if (method === "POST") return HttpMethod.POST;
  if (method === "HEAD") return HttpMethod.HEAD;
  return undefined;
}

/** Where equal intervals begin: the first at `start`, the last holds `end`. Refuses more than MOST_INTERVALS. */
export function intervals(range: { start: number; end: number; minutes: number }): { count: number; lengthMs: number } {
  const lengthMs = range.minutes * 60_000;
  if (range.end < range.start) throw fail("RANGE_REVERSED", { field: "end_date" });
  const count = Math.floor((range.end - range.start) / lengthMs) + 1;
  if (count > MOST_INTERVALS) throw fail("TOO_MANY_INTERVALS", { field: "interval_in_minutes", intervals: count });
  return { count, lengthMs };
}

/** Page size of a request: the default when it has none, and no more than the most. */
export function sizeOf(wanted: number | undefined, sizes: { default: number; most: number }): number {
  return Math.min(wanted ?? sizes.default, sizes.most);
}

/** A count where the API has 32 bits: beyond that it stays at the most. */
export function count32(count: number): number {
  return Math.min(count, 2 ** 31 - 1);
}
