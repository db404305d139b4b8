//! Questions across tables: SQL for people and pages, and a look at every text for the closing scan of an erasure.

use super::{Tables, rows::Columns};
use crate::{Error, Kind, Result, error::Doing, key::TableKey};
use datafusion::{
    arrow::{
        array::StringArray,
        datatypes::DataType,
        json::writer::{JsonArray, WriterBuilder},
    },
    common::cast::as_string_array,
    error::DataFusionError,
    execution::context::SQLOptions,
    logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf},
};
use futures::StreamExt;
use std::sync::Arc;

/// Makes of each text a text, or nothing. It is given many at once, to make itself ready once for all of them.
pub type OnTexts = dyn Fn(&[Option<&str>]) -> Vec<Option<String>> + Send + Sync;

/// A function of one text that a query may call. It gives a text or nothing.
#[derive(Clone)]
pub struct TextFunction {
    /// Its name in queries.
    pub name: String,
    /// What it does.
    pub run: Arc<OnTexts>,
}

impl TextFunction {
    fn udf(&self) -> ScalarUDF {
        let run = self.run.clone();
        let each = move |arguments: &[ColumnarValue]| {
            let [texts] = &ColumnarValue::values_to_arrays(arguments)?[..] else {
                return Err(DataFusionError::Plan("the function takes one text".into()));
            };
            let texts: Vec<Option<&str>> = as_string_array(texts)?.iter().collect();
            let results: StringArray = run(&texts).into_iter().collect();
            Ok(ColumnarValue::Array(Arc::new(results)))
        };
        create_udf(&self.name, vec![DataType::Utf8], DataType::Utf8, Volatility::Immutable, Arc::new(each))
    }
}

/// Most rows that a query may return.
pub const SQL_ROWS_MAX: usize = 10_000;

impl Tables {
    /// Answers a query over any of the tables, each under its [`TableKey::sql_name`], e.g. `examples_support_1`: one
    /// JSON object per row. It can only read. More than [`SQL_ROWS_MAX`] rows are refused.
    pub async fn sql(&self, query: &str, functions: &[TextFunction]) -> Result<Vec<serde_json::Value>> {
        let answering = || "answer the query".to_string();
        let session = self.session()?;
        functions.iter().for_each(|function| session.context.register_udf(function.udf()));
        for key in self.all_tables().await? {
            let name = key.sql_name();
            // A table that the query does not name is not opened.
            if query.contains(&name) {
                let table = self.load(&key, self.require(&key).await?).await?;
                table.update_datafusion_session(&session.context.state()).doing(answering)?;
                let provider = table.table_provider().await.doing(answering)?;
                session.context.register_table(name, provider).doing(answering)?;
            }
        }
        let read_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        let frame = session.context.sql_with_options(query, read_only).await.doing(answering)?;
        let batches = frame.limit(0, Some(SQL_ROWS_MAX + 1)).doing(answering)?.collect().await.doing(answering)?;
        if batches.iter().map(|batch| batch.num_rows()).sum::<usize>() > SQL_ROWS_MAX {
            let message = format!("the query returns more than {SQL_ROWS_MAX} rows");
            return Err(Error::new(Kind::Conflict, message).with_hint("end it with `LIMIT`, or aggregate"));
        }
        let mut json = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(Vec::new());
        json.write_batches(&batches.iter().collect::<Vec<_>>()).doing(answering)?;
        json.finish().doing(answering)?;
        let json = json.into_inner();
        if json.is_empty() { Ok(Vec::new()) } else { serde_json::from_slice(&json).doing(answering) }
    }

    /// Passes every text of every row of every table to `sink`; returns how many there were.
    pub async fn scan_text(&self, mut sink: impl FnMut(&TableKey, &str) + Send) -> Result<u64> {
        let mut n_values = 0;
        for key in self.all_tables().await? {
            let reading = || format!("read the {key}");
            let session = self.session()?;
            let frame = self.open(&session, &key, self.require(&key).await?).await?;
            let mut batches = frame.execute_stream().await.doing(reading)?;
            while let Some(batch) = batches.next().await {
                Columns(&batch.doing(reading)?).for_each_text(|text| {
                    sink(&key, text);
                    n_values += 1;
                })?;
            }
        }
        Ok(n_values)
    }
}
