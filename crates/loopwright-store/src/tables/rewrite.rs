//! Deleting rows so that nothing of them stays on the disk.

use super::{Tables, rows::POSITION};
use crate::{Error, Kind, Result, error::Doing, key::TableKey};
use datafusion::{
    common::Column,
    functions::expr_fn::{lower, strpos},
    prelude::{Expr, lit},
};
use loopwright_types::id::{RowId, SubjectId};

impl Tables {
    /// Deletes a person's rows and returns how many there were. Afterwards no file of the table holds them, not even
    /// if an earlier deletion was killed on its way. A table without subjects (rejected lines) stays as it is: use
    /// [`delete_containing`](Self::delete_containing) there.
    pub async fn delete_subject(&self, key: &TableKey, subject: &SubjectId) -> Result<u64> {
        match key {
            TableKey::Rejected { .. } => self.vacuum(key).await.map(|()| 0),
            _ => self.delete_where(key, column("subject").eq(lit(subject.as_str()))).await,
        }
    }

    /// Deletes these rows and returns how many there were, as thoroughly as `delete_subject`.
    pub async fn delete_rows(&self, key: &TableKey, rows: &[RowId]) -> Result<u64> {
        if matches!(key, TableKey::Rejected { .. }) {
            return Err(Error::new(Kind::Bug, format!("the {key} have no row ids")));
        }
        if rows.is_empty() {
            return self.vacuum(key).await.map(|()| 0);
        }
        let ids = rows.iter().map(|row| lit(row.as_str())).collect();
        self.delete_where(key, column("row_id").in_list(ids, false)).await
    }

    /// Deletes every row with one of these texts in any of its text columns and returns how many there were, as
    /// thoroughly as `delete_subject`. Upper and lower case are the same; empty texts are not looked for.
    pub async fn delete_containing(&self, key: &TableKey, texts: &[String]) -> Result<u64> {
        let columns: &[&str] = match key {
            TableKey::Raw { .. } => {
                &["row_id", "source", "text", "label", "subject", "group", "licence", "tags", "conversation"]
            }
            TableKey::Rejected { .. } => &["source", "reason", "excerpt"],
            TableKey::Examples(_) => {
                // The parent of an augmented row may be called after a person. Generators are not.
                const COLUMNS: [&str; 10] = [
                    "row_id",
                    "text",
                    "label",
                    "subject",
                    "group",
                    "source",
                    "origin_trace",
                    "licence",
                    "tags",
                    "conversation",
                ];
                &COLUMNS
            }
            TableKey::Dropped(_) => &["row_id", "reason", "subject"],
        };
        let contains = |name: &&str, text: &String| strpos(lower(column(name)), lower(lit(text.as_str()))).gt(lit(0));
        let texts = texts.iter().filter(|text| !text.is_empty());
        let doomed = texts.flat_map(|text| columns.iter().map(move |name| contains(name, text)));
        match doomed.reduce(Expr::or) {
            Some(doomed) => self.delete_where(key, doomed).await,
            None => self.vacuum(key).await.map(|()| 0),
        }
    }

    /// Removes every file of the table that its current rows do not need: older generations, what killed writes left.
    pub async fn vacuum(&self, key: &TableKey) -> Result<()> {
        let _lock = self.write_lock().await?;
        self.remove_unused(key).await
    }

    /// Removes a whole table, if it is there.
    pub async fn drop_table(&self, key: &TableKey) -> Result<()> {
        let _lock = self.write_lock().await?;
        while let Some(current) = self.current(key).await? {
            self.remove_generation(key, current).await?;
        }
        self.remove_unused(key).await
    }

    async fn delete_where(&self, key: &TableKey, doomed: Expr) -> Result<u64> {
        let deleting = || format!("delete from the {key}");
        let session = self.session()?;
        let _lock = self.write_lock().await?;
        let Some(current) = self.current(key).await? else {
            return self.remove_unused(key).await.map(|()| 0);
        };
        let rows = self.open(&session, key, current).await?;
        let found = rows.clone().filter(doomed.clone()).doing(deleting)?;
        let n_found = found.count().await.doing(deleting)? as u64;
        if n_found > 0 {
            let kept = rows.filter(doomed.is_not_true()).doing(deleting)?;
            let kept = kept.sort(vec![column(POSITION).sort(true, true)]).doing(deleting)?;
            self.publish(key, kept).await?;
        }
        self.remove_unused(key).await.map(|()| n_found)
    }
}

/// A column by its exact name.
pub(super) fn column(name: &str) -> Expr {
    Expr::Column(Column::from_name(name))
}
