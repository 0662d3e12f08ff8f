import Primitives

// The live data files of a store, by the index that slots of the keydir carry. When a file is gone its index is given to
// another one: file ids only ever grow, indices stay below `StorageLimits.filesMax`.

struct FileTable {
  private var places: [DataFile] = []
  private var vacant: [Int] = []
  /// Indices of the live files, ascending by file id.
  private(set) var indices: [Int] = []

  var count: Int { indices.count }
  /// Index of the file with the highest id.
  var last: Int? { indices.last }

  subscript(index: Int) -> DataFile {
    _read { yield places[index] }
    _modify { yield &places[index] }
  }

  func index(ofFile id: UInt32) -> Int? {
    let position = position(of: id)
    return position < indices.count && places[indices[position]].id == id ? indices[position] : nil
  }

  /// Where in `indices` the file of this id is, or would be.
  private func position(of id: UInt32) -> Int {
    var range = 0..<indices.count
    while !range.isEmpty {
      let middle = range.lowerBound + range.count / 2
      range = places[indices[middle]].id < id ? middle + 1..<range.upperBound : range.lowerBound..<middle
    }
    return range.lowerBound
  }

  /// Takes the file in and returns its index.
  mutating func insert(_ file: DataFile) -> Int {
    let position = position(of: file.id)
    let index = vacant.popLast() ?? places.count
    if index == places.count { places.append(file) } else { places[index] = file }
    indices.insert(index, at: position)
    return index
  }

  /// The file is gone: no slot names it any more, and its index is free.
  mutating func remove(_ index: Int) {
    invariant(places[index].liveRecords == 0, "file \(places[index].id) goes while keys are in it")
    indices.remove(at: position(of: places[index].id))
    vacant.append(index)
  }

  mutating func removeAll() { self = FileTable() }
}
