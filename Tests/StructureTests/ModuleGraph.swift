// Who may import whom. The layers are the design; the edges are what Package.swift says; the imports are what the
// sources say. Each must fit the one before it.

enum ModuleGraph {
  /// An import goes to a lower layer, never sideways or up.
  static let layers: [String: Int] = [
    "CLinux": 0, "Primitives": 1, "Causality": 2, "Storage": 3, "Cluster": 3, "Platform": 4, "Messages": 4,
    "Replication": 5, "Protocols": 5, "Simulation": 6, "Client": 6, "Server": 7, "cairn": 8,
  ]

  /// Modules that are pure: what they know of time, chance and the world arrives in arguments.
  static let core: Set = [
    "Primitives", "Causality", "Storage", "Cluster", "Messages", "Replication", "Protocols", "Simulation",
  ]

  /// Libraries of the toolchain, and who may use them.
  static let system: [String: Set<String>] = [
    "Glibc": ["Platform"],
    "Synchronization": ["Platform", "Server", "cairn"],
  ]

  /// Module → what it may import, as Package.swift lists it.
  static func edges(package: String) -> [String: Set<String>] {
    var edges: [String: Set<String>] = ["CLinux": []]
    let flat = package.split(whereSeparator: \.isNewline).map { line in
      line.firstRange(of: "//").map { String(line[..<$0.lowerBound]) } ?? String(line)
    }.joined(separator: " ")
    for match in flat.matches(of: /module\(\s*"(\w+)"(?:,\s*\[([^\]]*)\])?\s*\)/) {
      edges[String(match.output.1)] = names(match.output.2 ?? "")
    }
    for match in flat.matches(of: /\.executableTarget\(\s*name:\s*"(\w+)",\s*dependencies:\s*\[([^\]]*)\]/) {
      edges[String(match.output.1)] = names(match.output.2)
    }
    return edges
  }

  private static func names(_ list: Substring) -> Set<String> {
    Set(list.matches(of: /"(\w+)"/).map { String($0.output.1) })
  }

  /// Modules that a file imports.
  static func imports(of file: SourceFile) -> [String] {
    file.codeLines.compactMap { line in
      line.firstMatch(
        of: /^\s*(?:@\w+\s+)*(?:(?:public|package|internal|private|fileprivate)\s+)?import\s+(?:\w+\s+)?(\w+)/
      ).map { String($0.output.1) }
    }
  }

  /// Edges that do not go down.
  static func violations(edges: [String: Set<String>]) -> [String] {
    var problems: [String] = []
    for (module, targets) in edges.sorted(by: { $0.key < $1.key }) {
      guard let layer = layers[module] else {
        problems.append("\(module) has no layer")
        continue
      }
      for target in targets.sorted() where layers[target, default: .max] >= layer {
        problems.append("\(module) may not depend on \(target)")
      }
    }
    return problems
  }

  /// Imports that have no edge.
  static func violations(in file: SourceFile, edges: [String: Set<String>]) -> [String] {
    imports(of: file).filter { name in
      if let users = system[name] { return !users.contains(file.module) }
      return edges[file.module]?.contains(name) != true
    }.map { "\(file.path) imports \($0)" }
  }

  /// Ways to read a clock, to be random, or to depend on the hash seed of the process.
  static func impurities(in file: SourceFile) -> [String] {
    let words = [
      "ContinuousClock", "SuspendingClock", "SystemRandomNumberGenerator", "clock_gettime", "DispatchQueue",
      "Task.sleep",
      ".hashValue", "Hasher(", ".shuffled()", ".randomElement()", "Thread.sleep",
    ]
    return file.codeLines.enumerated().flatMap { index, line -> [String] in
      var found = words.filter { line.contains($0) }
      if line.contains(/\.random\(in: [^)]*\)/) && !line.contains("using:") { found.append(".random(in:") }
      return found.map { "\(file.path):\(index + 1) uses \($0)" }
    }
  }
}
