// Durations for eyes: in reports, logs, and what a node answers.

/// One unit, rounded down: `340 ms`, `12 s`, `5 min`, `3 h`, `2 d`.
package func durationText(milliseconds: some BinaryInteger) -> String {
  switch milliseconds {
  case ..<1000: "\(milliseconds) ms"
  case ..<120_000: "\(milliseconds / 1000) s"
  case ..<7_200_000: "\(milliseconds / 60_000) min"
  case ..<172_800_000: "\(milliseconds / 3_600_000) h"
  default: "\(milliseconds / 86_400_000) d"
  }
}
