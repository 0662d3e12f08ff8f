import Platform
import Testing

@testable import Server

@Suite struct ConfigurationDocumentsTests {
  private static let root = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3)
    .joined(separator: "/")

  private func text(_ path: String) throws -> String {
    String(decoding: try FileTree.read(Self.root + "/" + path, bytesMax: 1 << 20), as: UTF8.self)
  }

  /// Lines of the sample that give a key a value, behind `prefix`.
  private func assignments(_ prefix: String) -> [(key: String, value: String)] {
    ConfigurationDocuments.sample.split(separator: "\n").compactMap { line in
      guard line.hasPrefix(prefix), let match = line.dropFirst(prefix.count).wholeMatch(of: /([a-z_]+) = (.*)/) else {
        return nil
      }
      return (String(match.output.1), String(match.output.2))
    }
  }

  @Test("Docs/Configuration.md is what the table of settings says")
  func manual() throws {
    let isCurrent = try text("Docs/Configuration.md") == ConfigurationDocuments.manual
    #expect(isCurrent, "run: swift run cairn config docs > Docs/Configuration.md")
  }

  @Test("Deploy/cairn.conf is the sample that the table of settings gives")
  func sample() throws {
    let isCurrent = try text("Deploy/cairn.conf") == ConfigurationDocuments.sample
    #expect(isCurrent, "run: swift run cairn config sample > Deploy/cairn.conf")
  }

  @Test("the sample parses as it stands and changes nothing")
  func untouchedSample() throws {
    var configuration = Configuration()
    try configuration.apply(file: ConfigurationDocuments.sample, path: "sample")
    for (key, value, source) in configuration.settings() {
      #expect(value == key.defaultText && source == "default", "\(key.name)")
    }
    #expect(Configuration.mistakes(inFile: ConfigurationDocuments.sample, path: "sample") == [])
  }

  @Test("every commented-out line of the sample parses, shows the default, and none is missing")
  func commentedDefaults() throws {
    let lines = assignments("# ")
    #expect(lines.map(\.key) == Configuration.keys.filter { !$0.isIdentity }.map(\.name))
    for (key, value) in lines {
      var configuration = Configuration()
      try configuration.apply(file: "\(key) = \(value)\n", path: "sample")
      #expect(configuration.settings().first { $0.key.name == key }?.value == value, "\(key)")
      #expect(Configuration.keys.first { $0.name == key }?.defaultText == value, "\(key)")
    }
  }

  @Test("the examples of settings without a default make, together, a node that could run")
  func examples() throws {
    let lines = assignments("# Example: ")
    #expect(lines.map(\.key) == Configuration.keys.filter(\.isIdentity).map(\.name))
    var configuration = Configuration()
    try configuration.apply(file: lines.map { "\($0.key) = \($0.value)\n" }.joined(), path: "sample")
    try configuration.validate()
  }

  @Test("advice belongs to a setting, and to each at most once; the manual has a section for each")
  func advice() {
    let names = ConfigurationKey.adviceTexts.map(\.key)
    #expect(Set(names).count == names.count)
    #expect(Set(names).isSubset(of: Configuration.keys.map(\.name)))
    #expect(ConfigurationKey.examples.map(\.key) == Configuration.keys.filter(\.isIdentity).map(\.name))
    let lines = ConfigurationDocuments.manual.split(separator: "\n")
    for key in Configuration.keys { #expect(lines.count { $0 == "### \(key.name)" } == 1) }
    // Decisions that an operator cannot make from one line.
    for name in ["partitions", "sync", "max_file_size", "operations_max", "suspect_after", "request_timeout"] {
      #expect(Configuration.keys.first { $0.name == name }?.advice.isEmpty == false, "\(name)")
    }
  }
}
