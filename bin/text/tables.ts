/** Lists as text, for every command. */

/** Faults and warnings of a release, one per line. */
export const renderFindings = (label: string, findings: readonly { path: string; message: string }[]): string =>
  findings.map(({ path, message }) => `${label}: ${path === '' ? '' : `${path} `}${message}`).join('\n');

export function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]?.map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0))) ?? [];
  return rows
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
