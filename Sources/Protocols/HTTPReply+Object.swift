import Causality
import Messages

// An object as an answer: its version, its metadata, its value.

extension HTTPReply {
  func appendObject(
    _ stamp: Stamp, _ payload: [UInt8], expiry: Expiry = .never, isCreation: Bool = false, to bytes: inout [UInt8]
  ) {
    guard let content = ObjectContentView(payload: payload) else {
      return appendFailure(.damaged(detail: "the stored object has no readable content"), to: &bytes)
    }
    if case .terms(let terms) = special?.first,
      appendRefusal(terms, stamp, expiry, payload[content.contentType], to: &bytes)
    {
      return
    }
    if isCreation { appendCreated(to: &bytes) } else { appendHead(200, to: &bytes) }
    appendVersion(stamp, to: &bytes)
    appendExpiry(expiry, to: &bytes)
    appendLinks(content, to: &bytes)
    content.forEachMetadata { name, value in
      guard !isLink(payload, name) else { return }
      bytes.appendHeaderName(payload[name])
      bytes.appendASCII(": ")
      bytes.appendHeaderText(payload[value])
      bytes.appendASCII("\r\n")
    }
    bytes.appendASCII("Content-Type: ")
    bytes.appendHeaderText(payload[content.contentType])
    bytes.appendASCII("\r\n")
    appendBody(payload[content.value], to: &bytes)
  }

  private func appendExpiry(_ expiry: Expiry, to bytes: inout [UInt8]) {
    guard expiry != .never else { return }
    bytes.appendASCII("Expires: ")
    bytes.appendHTTPDate(milliseconds: expiry.milliseconds)
    bytes.appendASCII("\r\n")
  }

  /// Appends the answer to a read whose terms the object does not meet; false when it meets them.
  private func appendRefusal(
    _ terms: ReadTerms, _ stamp: Stamp, _ expiry: Expiry, _ contentType: ArraySlice<UInt8>, to bytes: inout [UInt8]
  ) -> Bool {
    switch terms.verdict(on: stamp, contentType) {
    case .satisfied: return false
    case .notAcceptable: encode(.notAcceptable(contentType), into: &bytes)
    case .notModified:
      appendHead(304, to: &bytes)
      appendVersion(stamp, to: &bytes)
      appendExpiry(expiry, to: &bytes)
      bytes.appendASCII("\r\n")
    case .failed(let condition):
      appendHead(412, to: &bytes)
      appendVersion(stamp, to: &bytes)
      appendPlain("Precondition failed: \(condition)\n", to: &bytes)
    }
    return true
  }

  func appendNotFound(_ tombstone: Stamp?, to bytes: inout [UInt8]) {
    appendHead(404, to: &bytes)
    if let tombstone {
      appendClock(tombstone, to: &bytes)
      bytes.appendASCII("X-Riak-Deleted: true\r\n")
    }
    appendPlain("not found\n", to: &bytes)
  }

  func appendNoContent(to bytes: inout [UInt8]) {
    appendHead(204, to: &bytes)
    bytes.appendASCII("\r\n")
  }

  func appendStored(_ stamp: Stamp, to bytes: inout [UInt8]) {
    switch special?.first {
    case .creation(let echo?): appendObject(stamp, echo, isCreation: true, to: &bytes)
    case .creation(nil):
      appendCreated(to: &bytes)
      appendBody([], to: &bytes)
    case .echo(let echo): appendObject(stamp, echo, to: &bytes)
    case .terms, .listing, .text, nil: appendNoContent(to: &bytes)
    }
  }

  /// The beginning of the answer when an object was stored under a key that was made for it.
  private func appendCreated(to bytes: inout [UInt8]) {
    appendHead(201, to: &bytes)
    appendLocation(to: &bytes)
  }

  private func appendVersion(_ stamp: Stamp, to bytes: inout [UInt8]) {
    appendClock(stamp, to: &bytes)
    bytes.appendASCII("ETag: \"")
    bytes.appendTag(stamp)
    bytes.appendASCII("\"\r\nLast-Modified: ")
    bytes.appendHTTPDate(milliseconds: stamp.time.milliseconds)
    bytes.appendASCII("\r\n")
  }

  private func appendClock(_ stamp: Stamp, to bytes: inout [UInt8]) {
    bytes.appendASCII("X-Riak-Vclock: ")
    bytes.appendClock(stamp)
    bytes.appendASCII("\r\n")
  }

  private func appendLocation(to bytes: inout [UInt8]) {
    guard let key else { return }
    bytes.appendASCII("Location: ")
    switch style {
    case .plain: bytes.appendASCII("/buckets/")
    case .typed: bytes.appendASCII("/types/default/buckets/")
    case .old: bytes.appendASCII("/riak/")
    }
    let bucket = key.bucketRange
    bytes.appendEscaped(key.encoded[bucket])
    bytes.appendASCII(style == .old ? "/" : "/keys/")
    bytes.appendEscaped(key.encoded[bucket.upperBound...])
    bytes.appendASCII("\r\n")
  }

  /// One header: the bucket, then what is stored.
  private func appendLinks(_ content: ObjectContentView, to bytes: inout [UInt8]) {
    guard let key else { return }
    bytes.appendASCII(style == .old ? "Link: </riak/" : "Link: </buckets/")
    bytes.appendEscaped(key.encoded[key.bucketRange])
    bytes.appendASCII(">; rel=\"up\"")
    content.forEachMetadata { name, value in
      guard isLink(content.payload, name) else { return }
      bytes.appendASCII(", ")
      let link = content.payload[value]
      if style == .old, let old = ObjectLinks.inOldForm(link) {
        bytes.append(contentsOf: old)
      } else {
        bytes.appendHeaderText(link)
      }
    }
    bytes.appendASCII("\r\n")
  }

  private func isLink(_ payload: [UInt8], _ name: Range<Int>) -> Bool { HTTPText.equals(payload, name, "Link") }
}
