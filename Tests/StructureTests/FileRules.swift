// What every source file keeps to, whatever is in it.

enum FileRules {
  static let linesMax = 450

  static func violations(in file: SourceFile) -> [String] {
    var problems: [String] = []
    if file.lines.count > linesMax + 1 { problems.append("\(file.path) has \(file.lines.count - 1) lines") }
    if file.path.hasPrefix("Sources/") && file.path != "Sources/cairn/main.swift" && !saysWhatItIsFor(file) {
      problems.append("\(file.path) does not say what it is for")
    }
    for (index, line) in file.lines.enumerated() {
      for word in forbidden where line.contains(word) {
        problems.append("\(file.path):\(index + 1) says '\(word)'")
      }
    }
    return problems
  }

  /// Words that mean "not finished", and paths of one machine. Put together here, so that this file keeps the rule.
  private static let forbidden = ["TO" + "DO", "FIX" + "ME", "X" + "XX ", "/" + "work/", "/" + "root/", "/" + "home/"]

  /// The first thing after the imports is a comment.
  private static func saysWhatItIsFor(_ file: SourceFile) -> Bool {
    file.lines.first { !$0.isEmpty && !$0.contains(/^(?:@\w+ )?(?:\w+ )?import\b/) }?.hasPrefix("//") == true
  }
}
