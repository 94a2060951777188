// ISO 3166-2 without the country, of the countries whose regions are known by their letters.
const codes: Readonly<Record<string, string>> = {
  US: `AL Alabama|AK Alaska|AZ Arizona|AR Arkansas|CA California|CO Colorado|CT Connecticut|DE Delaware|DC District of Columbia
    |DC Washington, D.C.|FL Florida|GA Georgia|HI Hawaii|ID Idaho|IL Illinois|IN Indiana|IA Iowa|KS Kansas|KY Kentucky|LA Louisiana
    |ME Maine|MD Maryland|MA Massachusetts|MI Michigan|MN Minnesota|MS Mississippi|MO Missouri|MT Montana|NE Nebraska|NV Nevada
    |NH New Hampshire|NJ New Jersey|NM New Mexico|NY New York|NC North Carolina|ND North Dakota|OH Ohio|OK Oklahoma|OR Oregon
    |PA Pennsylvania|RI Rhode Island|SC South Carolina|SD South Dakota|TN Tennessee|TX Texas|UT Utah|VT Vermont|VA Virginia
    |WA Washington|WV West Virginia|WI Wisconsin|WY Wyoming|AS American Samoa|GU Guam|MP Northern Mariana Islands|PR Puerto Rico
    |VI U.S. Virgin Islands`,
  CA: `AB Alberta|BC British Columbia|MB Manitoba|NB New Brunswick|NL Newfoundland and Labrador|NT Northwest Territories
    |NS Nova Scotia|NU Nunavut|ON Ontario|PE Prince Edward Island|QC Quebec|QC Québec|SK Saskatchewan|YT Yukon`,
  AU: `ACT Australian Capital Territory|NSW New South Wales|NT Northern Territory|QLD Queensland|SA South Australia|TAS Tasmania
    |VIC Victoria|WA Western Australia`,
  GB: "ENG England|NIR Northern Ireland|SCT Scotland|WLS Wales",
};

const byName: ReadonlyMap<string, string> = new Map(
  Object.entries(codes).flatMap(([country, table]) =>
    table.split("|").map((line) => {
      const [code = "", ...name] = line.trim().split(" ");
      return [`${country}/${name.join(" ").toLowerCase()}`, code] as const;
    }),
  ),
);

/** The letters of a region, "California" in US → "CA"; the name itself where the country has no such letters. */
export function regionCode(country: string, name: string): string {
  return byName.get(`${country}/${name.toLowerCase()}`) ?? name;
}

/** Answers of timezoneOf: asking costs fifty times a lookup. */
const zones = new Map<string, string>();

/** The time zone of a country that has only one, "Europe/Paris" of FR; else empty. */
export function timezoneOf(country: string): string {
  const known = zones.get(country);
  if (known !== undefined) return known;
  const found = /^[A-Z]{2}$/.test(country) ? (new Intl.Locale(`und-${country}`).getTimeZones?.() ?? []) : [];
  const zone = found.length === 1 ? (found[0] as string) : "";
  if (zones.size < 1000) zones.set(country, zone);
  return zone;
}
