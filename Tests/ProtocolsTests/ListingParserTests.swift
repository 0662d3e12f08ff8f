import Primitives
import Protocols
import Testing

@Suite struct ListingParserTests {
  @Test("names of any bytes come out as they went in, however the stream is cut", arguments: UInt64(0)..<200)
  func roundTrip(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let lists = (0..<generator.below(5)).map { _ in
      (0..<generator.below(6)).map { _ in randomName(&generator) }
    }
    var stream: [UInt8] = []
    for list in lists + [[]] { stream += encoded(list, spaced: generator.chance(1, in: 2)) }
    var parser = ListingParser(.keys)
    #expect(try parser.names(in: stream, cutBy: &generator) == lists.flatMap { $0 })
    try parser.end()
  }

  @Test("a stream cut anywhere is incomplete, never taken for whole")
  func incomplete() throws {
    let stream = Array(#"{"keys":["a","\ud83d\ude00"]}{"keys":[]}{"keys":["b\n"]} {"keys":[]} "#.utf8)
    let whole = stream.count - 1
    // Right after an empty list nothing can be told to be missing: there the end of the HTTP answer decides.
    let emptyList = Array(#"{"keys":[]}"#.utf8)
    for count in 0..<whole where !stream[..<count].suffix(emptyList.count).elementsEqual(emptyList) {
      var parser = ListingParser(.keys)
      _ = try parser.names(in: Array(stream[..<count]))
      #expect(throws: ListingError.incomplete, "prefix of \(count) bytes") { try parser.end() }
    }
    var parser = ListingParser(.keys)
    #expect(try parser.names(in: stream) == ["a", "😀", "b\n"].map { Array($0.utf8) })
    try parser.end()
  }

  @Test("a lone low surrogate is one byte, a pair is a character")
  func bytes() throws {
    var parser = ListingParser(.buckets)
    let stream = Array(#"{"buckets":["\udcff\udc80a","\ud800\udc80","\"\\\/\b\f\r\t\u00e9","é"]}"#.utf8)
    let expected: [[UInt8]] = [
      [0xFF, 0x80, 0x61], [0xF0, 0x90, 0x82, 0x80], Array("\"\\/\u{8}\u{C}\r\té".utf8), Array("é".utf8),
    ]
    #expect(try parser.names(in: stream) == expected)
  }

  @Test("what a node says instead of more names is told")
  func failed() throws {
    var parser = ListingParser(.keys)
    #expect(throws: ListingError.failed("timeout: n2 \"down\"")) {
      try parser.names(in: Array(#"{"keys":["a"]}{"error":"timeout: n2 \"down\""}"#.utf8))
    }
  }

  @Test(
    "what is no listing is refused",
    arguments: [
      "[]", "{}", "x", #"{"buckets":[]}"#, #"{"keys":{}}"#, #"{"keys":[1]}"#, #"{"keys":["a",]}"#, #"{"keys":[,]}"#,
      #"{"keys":["a" "b"]}"#, #"{"keys":["a"],"keys":[]}"#, #"{"keys":[]]"#, #"{"keys":["\x"]}"#,
      #"{"keys":["\u12g4"]}"#,
      #"{"keys":["\ud800"]}"#, #"{"keys":["\ud800a"]}"#, #"{"keys":["\ud800\n"]}"#, #"{"keys":["\ud800\u0041"]}"#,
      #"{"keys":["\udc7f"]}"#, #"{"keys":["\udd00"]}"#, "{\"keys\":[\"\n\"]}", #"{"error":[]}"#, #"{"keys":"a"}"#,
      #"{"ke"# + "\u{1}",
    ])
  func refused(text: String) {
    var parser = ListingParser(.keys)
    let error = #expect(throws: ListingError.self) { try parser.names(in: Array(text.utf8)) }
    if case .malformed? = error {} else { Issue.record("\(String(describing: error))") }
  }

  @Test("a name of nameBytesMax is taken, one byte more is refused, at once and in pieces")
  func bound() throws {
    let longest = [UInt8](repeating: 0x61, count: ListingParser.nameBytesMax)
    for piece in [1 << 20, 1000] {
      var parser = ListingParser(.keys)
      #expect(try parser.names(in: encoded([longest], spaced: false), pieces: piece) == [longest])
      var other = ListingParser(.keys)
      #expect(throws: ListingError.self) {
        try other.names(in: encoded([longest + [0x61]], spaced: false), pieces: piece)
      }
    }
    var endless = ListingParser(.keys)
    _ = try endless.names(in: Array(#"{"error":""#.utf8) + [UInt8](repeating: 0x61, count: 1 << 20), pieces: 4096)
    let error = #expect(throws: ListingError.self) { try endless.names(in: [0x22]) }
    if case .failed(let text)? = error { #expect(text.utf8.count <= 4096) }
  }

  @Test("damage is refused or changes names, and never crashes", arguments: UInt64(0)..<1000)
  func damage(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    var stream = Array(#"{"keys":["a\u00e9","\ud83d\ude00\udcff"]} {"keys":["b"]}{"keys":[]}"#.utf8)
    for _ in 0...generator.below(3) { stream[generator.below(stream.count)] = UInt8(generator.below(256)) }
    var parser = ListingParser(.keys)
    _ = try? parser.names(in: stream, cutBy: &generator)
    _ = try? parser.end()
  }
}

extension ListingParser {
  mutating func names(in stream: [UInt8], pieces: Int = .max) throws -> [[UInt8]] {
    var names: [[UInt8]] = []
    var start = 0
    while start < stream.count {
      let end = start + min(pieces, stream.count - start)
      try receive(Array(stream[start..<end])) { names.append(Array($0)) }
      start = end
    }
    return names
  }

  fileprivate mutating func names(in stream: [UInt8], cutBy generator: inout SeededGenerator) throws -> [[UInt8]] {
    var names: [[UInt8]] = []
    var start = 0
    while start < stream.count {
      let end = min(stream.count, start + 1 + generator.below(9))
      try receive(Array(stream[start..<end])) { names.append(Array($0)) }
      start = end
    }
    return names
  }
}

private func randomName(_ generator: inout SeededGenerator) -> [UInt8] {
  let parts: [[UInt8]] = [
    [0x61], [0x22], [0x5C], [0x0A], [0x00], [0x7F], Array("é".utf8), Array("😀".utf8), [0xFF], [0xC3], [0x80], [0x2F],
  ]
  return (0..<generator.below(8)).flatMap { _ in parts[generator.below(parts.count)] }
}

/// One object of a listing, written the slow way.
private func encoded(_ names: [[UInt8]], spaced: Bool) -> [UInt8] {
  let space = spaced ? " \n" : ""
  let list = names.map { name in
    var text = "\""
    var rest = name[...]
    while let byte = rest.first {
      let scalar = (1...4).lazy.compactMap { String(validating: rest.prefix($0), as: UTF8.self) }
        .first { $0.unicodeScalars.count == 1 }?.unicodeScalars.first
      guard let scalar else {
        text += "\\udc" + String(byte, radix: 16)
        rest = rest.dropFirst()
        continue
      }
      text += JSON.string(String(scalar)).text().dropFirst().dropLast()
      rest = rest.dropFirst(String(scalar).utf8.count)
    }
    return text + "\""
  }
  return Array(
    "\(space){\(space)\"keys\"\(space):\(space)[\(space)\(list.joined(separator: "\(space),\(space)"))\(space)]\(space)}"
      .utf8)
}
