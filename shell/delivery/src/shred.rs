//! JSON values as columns of Parquet: each leaf of the schema becomes a column of values with definition and repetition levels ("Nested
//! Encoding", Apache Parquet documentation; the record shredding of the Dremel paper). No Arrow is needed for that.

use parquet::basic::{LogicalType, Repetition, Type as PhysicalType};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, Int32Type, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::writer::SerializedColumnWriter;
use parquet::schema::types::Type;
use serde_json::Value;

/// The values of a column that are there.
#[derive(Debug)]
enum Values {
    Flags(Vec<bool>),
    Numbers(Vec<i32>),
    Longs(Vec<i64>),
    Texts(Vec<ByteArray>),
}

/// A leaf of the schema with what was shredded into it.
#[derive(Debug)]
pub(crate) struct Column {
    values: Values,
    definitions: Vec<i16>,
    repetitions: Vec<i16>,
}

/// Where a value stands: its levels so far.
#[derive(Clone, Copy)]
struct At {
    definition: i16,
    repetition: i16,
    /// How many lists are around it.
    lists: i16,
}

/// An empty column for each leaf of a schema, in its order.
pub(crate) fn columns(schema: &Type) -> Result<Vec<Column>> {
    let mut found = Vec::new();
    fn collect(node: &Type, found: &mut Vec<Column>) -> Result<()> {
        if node.is_group() {
            return node.get_fields().iter().try_for_each(|field| collect(field, found));
        }
        let values = match node.get_physical_type() {
            PhysicalType::BOOLEAN => Values::Flags(Vec::new()),
            PhysicalType::INT32 => Values::Numbers(Vec::new()),
            PhysicalType::INT64 => Values::Longs(Vec::new()),
            PhysicalType::BYTE_ARRAY => Values::Texts(Vec::new()),
            other => return Err(ParquetError::NYI(format!("columns of {other}"))),
        };
        found.push(Column { values, definitions: Vec::new(), repetitions: Vec::new() });
        Ok(())
    }
    collect(schema, &mut found)?;
    Ok(found)
}

/// Takes one row apart. What the schema doesn't have is left out; a value of another type than the schema's is an error.
pub(crate) fn row(schema: &Type, value: &Value, columns: &mut [Column]) -> Result<()> {
    let at = At { definition: 0, repetition: 0, lists: 0 };
    fields(schema, Some(value), at, columns)
}

fn leaves(node: &Type) -> usize {
    if node.is_group() { node.get_fields().iter().map(|field| leaves(field)).sum() } else { 1 }
}

fn fields(group: &Type, value: Option<&Value>, at: At, columns: &mut [Column]) -> Result<()> {
    let mut rest = columns;
    for field in group.get_fields() {
        let (own, others) =
            rest.split_at_mut_checked(leaves(field)).ok_or_else(|| ParquetError::General("columns are missing".to_owned()))?;
        node(field, value.and_then(|value| value.get(field.name())), at, own)?;
        rest = others;
    }
    Ok(())
}

fn node(field: &Type, value: Option<&Value>, mut at: At, columns: &mut [Column]) -> Result<()> {
    let value = value.filter(|value| !value.is_null());
    if field.get_basic_info().repetition() == Repetition::OPTIONAL {
        if value.is_none() {
            return absent(at, columns);
        }
        at.definition += 1;
    }
    let Some(value) = value else { return Err(ParquetError::General(format!("`{}` is missing", field.name()))) };
    if !field.is_group() {
        return leaf(field, value, at, columns);
    }
    if field.get_basic_info().logical_type_ref() != Some(&LogicalType::List) {
        return fields(field, Some(value), at, columns);
    }
    // `group NAME (LIST) { repeated group list { optional TYPE element } }`.
    let element = field.get_fields().first().and_then(|list| list.get_fields().first());
    let (Some(element), Value::Array(items)) = (element, value) else { return mistyped(field.name()) };
    if items.is_empty() {
        return absent(at, columns);
    }
    for (place, item) in items.iter().enumerate() {
        let repetition = if place == 0 { at.repetition } else { at.lists + 1 };
        let inside = At { definition: at.definition + 1, repetition, lists: at.lists + 1 };
        node(element, Some(item), inside, columns)?;
    }
    Ok(())
}

/// Nothing stands here, nor in any leaf below.
#[allow(clippy::unnecessary_wraps, reason = "beside its kind")]
fn absent(at: At, columns: &mut [Column]) -> Result<()> {
    for column in columns {
        column.definitions.push(at.definition);
        column.repetitions.push(at.repetition);
    }
    Ok(())
}

fn mistyped(name: &str) -> Result<()> {
    Err(ParquetError::General(format!("`{name}` is of another type than the schema's")))
}

fn leaf(field: &Type, value: &Value, at: At, columns: &mut [Column]) -> Result<()> {
    let [column] = columns else { return Err(ParquetError::General("a leaf is one column".to_owned())) };
    match (&mut column.values, value) {
        (Values::Flags(flags), Value::Bool(flag)) => flags.push(*flag),
        (Values::Texts(texts), Value::String(text)) => texts.push(ByteArray::from(text.as_bytes().to_vec())),
        (Values::Numbers(numbers), Value::Number(number)) => {
            match number.as_i64().and_then(|number| i32::try_from(number).ok()) {
                Some(number) => numbers.push(number),
                None => return mistyped(field.name()),
            }
        }
        (Values::Longs(longs), Value::Number(number)) => match number.as_i64() {
            Some(number) => longs.push(number),
            None => return mistyped(field.name()),
        },
        _ => return mistyped(field.name()),
    }
    absent(at, std::slice::from_mut(column))
}

impl Column {
    /// Writes what is in it as a column chunk, and empties it.
    pub(crate) fn flush(&mut self, writer: &mut SerializedColumnWriter<'_>) -> Result<()> {
        let (definitions, repetitions) = (Some(self.definitions.as_slice()), Some(self.repetitions.as_slice()));
        match &self.values {
            Values::Flags(flags) => writer.typed::<BoolType>().write_batch(flags, definitions, repetitions)?,
            Values::Numbers(numbers) => writer.typed::<Int32Type>().write_batch(numbers, definitions, repetitions)?,
            Values::Longs(longs) => writer.typed::<Int64Type>().write_batch(longs, definitions, repetitions)?,
            Values::Texts(texts) => writer.typed::<ByteArrayType>().write_batch(texts, definitions, repetitions)?,
        };
        self.definitions.clear();
        self.repetitions.clear();
        match &mut self.values {
            Values::Flags(flags) => flags.clear(),
            Values::Numbers(numbers) => numbers.clear(),
            Values::Longs(longs) => longs.clear(),
            Values::Texts(texts) => texts.clear(),
        }
        Ok(())
    }
}
