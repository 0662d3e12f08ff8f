// Messages as tables of fields: each says once which number belongs to which of its properties, and is read, checked and
// written by whoever visits that table. Fields that the table does not name are passed over.

protocol PBVisitor {
  associatedtype Failure: Error
  mutating func optional<Value: PBValue>(_ number: Int, _ value: inout Value?) throws(Failure)
  mutating func required<Value: PBValue>(_ number: Int, _ value: inout Value?) throws(Failure)
  mutating func repeated<Value: PBValue>(_ number: Int, _ values: inout [Value]) throws(Failure)
}

protocol PBMessage: PBValue {
  /// In Riak's words.
  static var name: StaticString { get }
  init()
  mutating func visit<Visitor: PBVisitor>(_ visitor: inout Visitor) throws(Visitor.Failure)
}

extension PBMessage {
  static var wire: PBWireType { .bytes }

  /// The message that stands in `bytes[range]`.
  init(_ bytes: [UInt8], _ range: Range<Int>) throws(PBProblem) {
    var reader = PBReader(bytes, range)
    try self.init(all: &reader)
  }

  init(from reader: inout PBReader) throws(PBProblem) {
    var inner = PBReader(reader.bytes, try reader.sized(), fieldsLeft: reader.fieldsLeft)
    try self.init(all: &inner)
    reader.goOn(after: inner)
  }

  private init(all reader: inout PBReader) throws(PBProblem) {
    self.init()
    var decoder = PBDecoder(reader, of: Self.name)
    while try decoder.nextField() {
      try visit(&decoder)
      try decoder.endField()
    }
    decoder.beginCheck()
    try visit(&decoder)
    reader = decoder.reader
  }

  func append(to bytes: inout [UInt8]) { bytes.appendSized { appendFields(to: &$0) } }

  /// Appends the message without its length.
  func appendFields(to bytes: inout [UInt8]) {
    var encoder = PBEncoder()
    swap(&encoder.bytes, &bytes)
    var message = self
    message.visit(&encoder)
    swap(&encoder.bytes, &bytes)
  }
}

/// Reads one field at a time into the property that has its number.
struct PBDecoder: PBVisitor {
  /// Values of a repeated field: what a frame of a few bytes a value may grow to stays bounded.
  static let repeatedMax = 65_536

  private(set) var reader: PBReader
  private let name: StaticString
  /// 0 between fields, which is no field's number.
  private var number = 0
  private var wire = PBWireType.varint
  private var isTaken = false
  private var isChecking = false

  init(_ reader: PBReader, of name: StaticString) {
    self.reader = reader
    self.name = name
  }

  /// False at the end.
  mutating func nextField() throws(PBProblem) -> Bool {
    guard !reader.isAtEnd else { return false }
    (number, wire) = try reader.tag()
    isTaken = false
    return true
  }

  mutating func endField() throws(PBProblem) {
    if !isTaken { try reader.skip(wire) }
    number = 0
  }

  /// From here on, what is required must be there.
  mutating func beginCheck() { isChecking = true }

  mutating func optional<Value: PBValue>(_ number: Int, _ value: inout Value?) throws(PBProblem) {
    if number == self.number { value = try take() }
  }

  mutating func required<Value: PBValue>(_ number: Int, _ value: inout Value?) throws(PBProblem) {
    if number == self.number { value = try take() }
    if isChecking, value == nil { throw PBProblem("\(name) lacks its required field \(number)") }
  }

  mutating func repeated<Value: PBValue>(_ number: Int, _ values: inout [Value]) throws(PBProblem) {
    guard number == self.number else { return }
    guard values.count < PBDecoder.repeatedMax else {
      throw PBProblem("\(name) has field \(number) more than \(PBDecoder.repeatedMax) times")
    }
    values.append(try take())
  }

  private mutating func take<Value: PBValue>() throws(PBProblem) -> Value {
    guard wire == Value.wire else { throw PBProblem("field \(number) of \(name) is of the wrong type") }
    isTaken = true
    return try Value(from: &reader)
  }
}

struct PBEncoder: PBVisitor {
  var bytes: [UInt8] = []

  mutating func optional<Value: PBValue>(_ number: Int, _ value: inout Value?) {
    guard let value else { return }
    bytes.appendTag(number, Value.wire)
    value.append(to: &bytes)
  }

  mutating func required<Value: PBValue>(_ number: Int, _ value: inout Value?) { optional(number, &value) }

  mutating func repeated<Value: PBValue>(_ number: Int, _ values: inout [Value]) {
    for value in values {
      bytes.appendTag(number, Value.wire)
      value.append(to: &bytes)
    }
  }
}
