import Testing

@testable import cairn

// What becomes of a record: every rule of `cairn import --help`, and every reason for a reject.

@Suite struct JSONLineRuleTests {
  private func read(_ line: String, _ change: (inout RecordRules) -> Void = { _ in }) throws -> BulkObject {
    var rules = RecordRules(.jsonl)
    change(&rules)
    var reader = JSONLineReader(rules)
    var object = BulkObject()
    let bytes = Array("x\(line)y".utf8)
    try reader.read(bytes, 1..<bytes.count - 1, into: &object)
    return object
  }

  private func seen(_ object: BulkObject) -> [String] {
    [object.key, object.headers, object.value].map { String(decoding: $0, as: UTF8.self) }
  }

  @Test("what an export wrote is taken apart as it was put together")
  func exported() throws {
    let line = #"{"key":"a\n","value":"v","content_type":"a/b","metadata":{"X-Riak-Meta-A":"b","c":"é"}}"#
    #expect(
      seen(try read(line)) == ["a\n", "Content-Type: a/b\r\nX-Riak-Meta-A: b\r\nX-Riak-Meta-c: é\r\n", "v"])
    let bytes = try read(#"{"key_base64":"/w==","value_base64":"AP8=","metadata_base64":{"Content-Encoding":"/w=="}}"#)
    #expect(bytes.key == [0xFF] && bytes.value == [0, 0xFF])
    #expect(
      bytes.headers == Array("Content-Type: application/octet-stream\r\nContent-Encoding: ".utf8) + [0xFF, 0x0D, 0x0A])
    #expect(seen(try read(#"{"key":"k","value":""}"#)) == ["k", "Content-Type: text/plain; charset=utf-8\r\n", ""])
  }

  @Test("when an object expires is kept of what an export wrote, and of nothing else")
  func expiry() throws {
    let line = #"{"key":"k","value":"v","content_type":"a/b","expires_at":"Sun, 06 Nov 1994 08:49:37 GMT"}"#
    let header = "X-Cairn-Expires-At: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    #expect(seen(try read(line)) == ["k", "Content-Type: a/b\r\n" + header, "v"])
    #expect(seen(try read(line) { $0.value = .whole })[1] == "Content-Type: application/json\r\n")
    #expect(seen(try read(line) { $0.value = .field("value") })[1] == "Content-Type: text/plain; charset=utf-8\r\n")
  }

  @Test("a value that is no string is kept as it is written")
  func otherValues() throws {
    #expect(
      seen(try read(#"{"key":"k","value": {"a":1.50} }"#)) == [
        "k", "Content-Type: application/json\r\n", #"{"a":1.50}"#,
      ])
    #expect(seen(try read(#"{"key":1e5,"value":null}"#))[0] == "1e5")
  }

  @Test("without a value the whole line is stored, without the space around it")
  func whole() throws {
    let line = #"{"key":"k","n":1}"#
    #expect(seen(try read(" \(line)\t\r")) == ["k", "Content-Type: application/json\r\n", line])
    let exported = #"{"key":"k","value":"v","content_type":"a/b"}"#
    #expect(
      seen(try read(exported) { $0.value = .whole }) == ["k", "Content-Type: application/json\r\n", exported])
  }

  @Test("--key, --value and --content-type choose")
  func chosen() throws {
    let line = #"{"id":7,"text":"t","value":"v","content_type":"a/b"}"#
    let object = try read(line) {
      $0.key = "id"
      $0.value = .field("text")
    }
    #expect(seen(object) == ["7", "Content-Type: text/plain; charset=utf-8\r\n", "t"])
    let typed = try read(line) {
      $0.key = "id"
      $0.contentType = "c/d"
    }
    #expect(seen(typed) == ["7", "Content-Type: c/d\r\n", "v"])
  }

  @Test(
    "what cannot be stored says why",
    arguments: [
      ("[1]", "an object is missing"), ("{", "member's name"), (#"{"value":"v"}"#, "'key', which would be the key"),
      (#"{"key":"","value":"v"}"#, "the key is empty"), (#"{"key":true}"#, "neither a string nor a number"),
      (#"{"key":"a","key":"b"}"#, "a second 'key'"), (#"{"key":"a","key_base64":"YQ=="}"#, "both 'key'"),
      (#"{"key_base64":"Y"}"#, "no base64"), (#"{"key":"a","value":"b","value_base64":"YQ=="}"#, "both 'value'"),
      (#"{"key":"a","value_base64":"?"}"#, "no base64"), (#"{"key":"a","value_base64":1}"#, "no base64"),
      (#"{"key":"a","value":"b","content_type":1}"#, "'content_type' is no string"),
      (#"{"key":"a","value":"b","content_type":"a/b\r\nX: y"}"#, "control character"),
      (#"{"key":"a","value":"b","content_type":""}"#, "content type is empty"),
      (#"{"key":"a","value":"b","metadata":[]}"#, "'metadata' is no object"),
      (#"{"key":"a","value":"b","metadata":{"a":1}}"#, "no string"),
      (#"{"key":"a","value":"b","metadata":{"a b":"c"}}"#, "cannot be the name"),
      (#"{"key":"a","value":"b","metadata":{"a":"\n"}}"#, "control character"),
      (#"{"key":"a","value":"b","metadata_base64":{"a":"?"}}"#, "no base64"),
      (#"{"key":"a","value":"b","expires_at":784111777}"#, "'expires_at' is no string"),
      (#"{"key":"a","value":"b","expires_at":"\n"}"#, "control character"),
    ])
  func problems(line: String, reason: String) {
    let problem = #expect(throws: RecordProblem.self) { try read(line) }
    #expect(problem?.reason.contains(reason) == true, "\(problem?.reason ?? "")")
  }

  @Test("metadata of bytesMax is taken, a byte more is not")
  func metadataBound() throws {
    func line(_ count: Int) -> String {
      #"{"key":"a","value":"b","content_type":"a/b","metadata":{"a":""# + String(repeating: "x", count: count) + #""}}"#
    }
    let room = Metadata.bytesMax - "Content-Type: a/b\r\nX-Riak-Meta-a: \r\n".utf8.count
    #expect(try read(line(room)).headers.count == Metadata.bytesMax)
    #expect(throws: RecordProblem.self) { try read(line(room + 1)) }
  }
}

@Suite struct CSVRowRuleTests {
  private func read(
    _ row: String, columns: [String]?, count: Int? = nil, _ change: (inout RecordRules) -> Void = { _ in }
  ) throws -> [String] {
    var rules = RecordRules(.csv)
    rules.hasHeader = columns != nil
    change(&rules)
    var reader = try CSVRowReader(
      rules, columns: columns?.map { Array($0.utf8) }, columnCount: count ?? columns?.count ?? 1,
      command: "cairn import")
    var object = BulkObject()
    let bytes = Array(row.utf8)
    try reader.read(bytes, 0..<bytes.count, into: &object)
    return [object.key, object.headers, object.value].map { String(decoding: $0, as: UTF8.self) }
  }

  @Test("the header of an export says it all")
  func exported() throws {
    #expect(try read("k,v,a/b", columns: ["key", "value", "content_type"]) == ["k", "Content-Type: a/b\r\n", "v"])
    #expect(try read("k,v", columns: ["key", "value"])[2] == "v")
    // One column more, and it is somebody's table.
    #expect(
      try read("k,v,z", columns: ["key", "value", "zone"])[2] == #"{"key":"k","value":"v","zone":"z"}"#)
  }

  @Test("without a column for the value the row is a JSON object, or an array where columns have no names")
  func whole() throws {
    #expect(
      try read("\"a \"\"q\"\"\",é", columns: ["id", "na\"me"]) { $0.key = "id" } == [
        "a \"q\"", "Content-Type: application/json\r\n", #"{"id":"a \"q\"","na\"me":"é"}"#,
      ])
    #expect(try read("a,1", columns: nil, count: 2) { $0.key = "1" }[2] == #"["a","1"]"#)
    #expect(
      try read("k,v", columns: ["key", "value"]) { $0.value = .whole }[2] == #"{"key":"k","value":"v"}"#)
  }

  @Test("--key and --value choose by name, and by number where there are no names")
  func chosen() throws {
    #expect(
      try read("1,b,c", columns: ["a", "b", "c"]) {
        $0.key = "a"
        $0.value = .field("c")
      } == ["1", "Content-Type: text/plain; charset=utf-8\r\n", "c"])
    #expect(
      try read("x;y", columns: nil, count: 2) {
        $0.delimiter = UInt8(ascii: ";")
        $0.key = "2"
        $0.value = .field("1")
        $0.contentType = "a/b"
      } == ["y", "Content-Type: a/b\r\n", "x"])
  }

  @Test("what a column's name says wrong is a usage error that lists the columns")
  func columns() {
    #expect(
      throws: UsageError(
        problem: "--key is 'uid', and no column is called that", hint: "the columns are: id, name")
    ) { try read("a,b", columns: ["id", "name"]) { $0.key = "uid" } }
    let missing = #expect(throws: UsageError.self) { try read("a,b", columns: ["id", "name"]) }
    #expect(missing?.problem.contains("no --key says") == true)
    let twice = #expect(throws: UsageError.self) { try read("a,b", columns: ["id", "id"]) { $0.key = "id" } }
    #expect(twice?.problem.contains("2 columns") == true)
    #expect(throws: UsageError.self) { try read("a,b,c", columns: ["key", "n", "n"]) }
    #expect(throws: UsageError.self) { try read("a", columns: nil) { $0.key = "2" } }
  }

  @Test("what cannot be stored says why")
  func problems() {
    func reason(_ row: String) -> String {
      let problem = #expect(throws: RecordProblem.self) { try read(row, columns: ["key", "b"]) }
      return problem?.reason ?? ""
    }
    #expect(reason("a,b,c") == "3 fields, and the header has 2")
    #expect(reason("a") == "1 fields, and the header has 2")
    #expect(reason(",b") == "the key is empty")
    #expect(reason("a,\"b") == "the quote of field 2 is not closed")
    #expect(reason("a,b\"") == "a quote in field 2, which does not begin with one")
  }

  @Test("bytes that are not UTF-8 are a value, and no JSON")
  func bytes() throws {
    var rules = RecordRules(.csv)
    for value in [RecordRules.Value.automatic, .whole] {
      rules.value = value
      var reader = try CSVRowReader(
        rules, columns: [BulkField.key, BulkField.value], columnCount: 2, command: "cairn import")
      var object = BulkObject()
      let row: [UInt8] = [0xFE, 0x2C, 0xFF, 0x00]
      if value == .whole {
        #expect(throws: RecordProblem.self) { try reader.read(row, 0..<4, into: &object) }
      } else {
        try reader.read(row, 0..<4, into: &object)
        #expect(object.key == [0xFE] && object.value == [0xFF, 0x00])
        #expect(object.headers == Array("Content-Type: application/octet-stream\r\n".utf8))
      }
    }
  }
}
