import type { MmdbValue } from "./data.ts";
import { regionCode, timezoneOf } from "./regions.ts";

/** Where an address is. Empty strings are unknown. */
export interface Place {
  /** ISO 3166-1 alpha-2. */
  readonly country: string;
  /** ISO 3166-2 letters without the country where known, else the name. */
  readonly region: string;
  readonly city: string;
  /** IANA time zone. */
  readonly timezone: string;
}

/** The place in a record of a city database: flat as DB-IP Lite by ip-location-db, or nested as MaxMind's own. */
export function placeOf(record: MmdbValue): Place | undefined {
  const country = textAt(record, "country_code") || textAt(record, "country", "iso_code");
  if (country === "") return undefined;
  return {
    country,
    region: textAt(record, "subdivisions", 0, "iso_code") || regionCode(country, regionName(record)),
    city: cityName(textAt(record, "city") || textAt(record, "city", "names", "en")),
    timezone: textAt(record, "timezone") || textAt(record, "location", "time_zone") || timezoneOf(country),
  };
}

function regionName(record: MmdbValue): string {
  return textAt(record, "state1") || textAt(record, "subdivisions", 0, "names", "en");
}

/** "London (Shadwell)" → "London": the district would make a city of its own in every count. */
function cityName(name: string): string {
  return name.replace(/ \([^()]*\)$/, "");
}

function textAt(record: MmdbValue, ...path: readonly (string | number)[]): string {
  let value: unknown = record;
  for (const key of path) {
    if (typeof value !== "object" || value === null) return "";
    value = (value as Record<string | number, unknown>)[key];
  }
  return typeof value === "string" ? value : "";
}
