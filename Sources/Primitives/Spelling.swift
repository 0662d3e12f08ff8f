// What a mistyped word was probably meant to be: for subcommands, options and settings alike.

/// Longer words are compared with nothing.
private let wordLengthMax = 64

/// The candidate that `word` was probably meant to be: one that it begins, or one that is spelled almost alike; nil when
/// there is none.
package func nearest(to word: String, among candidates: [String]) -> String? {
  guard !word.isEmpty, word.utf8.count <= wordLengthMax else { return nil }
  if word.count > 2, let whole = candidates.sorted().first(where: { $0.hasPrefix(word) }) { return whole }
  let scored = candidates.map { (distance: editDistance(Array(word), Array($0)), name: $0) }
  guard let best = scored.min(by: { ($0.distance, $0.name) < ($1.distance, $1.name) }) else { return nil }
  return best.distance <= max(1, word.count / 3) ? best.name : nil
}

/// Insertions, deletions, replacements and swaps of neighbours that turn one word into the other.
private func editDistance(_ a: [Character], _ b: [Character]) -> Int {
  var rows = [Array(0...b.count)]
  for i in a.indices {
    var row = [i + 1]
    for j in b.indices {
      var best = min(rows[i][j + 1] + 1, row[j] + 1, rows[i][j] + (a[i] == b[j] ? 0 : 1))
      if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] { best = min(best, rows[i - 1][j - 1] + 1) }
      row.append(best)
    }
    rows.append(row)
  }
  return rows[a.count][b.count]
}
