//! The example as files.

use super::{Customer, ExampleProject, ExampleRow};

impl ExampleProject {
    /// The first month as a CSV file, with three broken lines among the good ones: one with an open quote, one with too
    /// many fields, one that is not UTF-8. They name no customer of the example.
    pub fn month_1_csv(&self) -> Vec<u8> {
        const BROKEN: [&[u8]; 3] = [
            b"m1-x0001,\"where is my parcel?,track_order,C-9999,consumer,2026-01-08T10:00:00Z\n",
            b"m1-x0002,hello, I want a refund, now,refund,C-9999,consumer,2026-01-16T10:00:00Z\n",
            b"m1-x0003,the kettle is br\xf6ken,damaged_item,C-9999,consumer,2026-01-24T10:00:00Z\n",
        ];
        let mut file = to_csv_bytes(&[]);
        let header = file.len();
        for (quarter, rows) in self.month_1.chunks(self.month_1.len().div_ceil(4).max(1)).enumerate() {
            if let Some(line) = quarter.checked_sub(1).and_then(|index| BROKEN.get(index)) {
                file.extend_from_slice(line);
            }
            file.extend_from_slice(&to_csv_bytes(rows)[header..]);
        }
        file
    }

    /// The second month as a CSV file.
    pub fn month_2_csv(&self) -> Vec<u8> {
        to_csv_bytes(&self.month_2)
    }

    /// The customers as a CSV file.
    pub fn customers_csv(&self) -> Vec<u8> {
        customers_to_csv_bytes(&self.customers)
    }
}

/// Messages as CSV: `id,text,label,customer,segment,created_at`.
pub fn to_csv_bytes(rows: &[ExampleRow]) -> Vec<u8> {
    let header = ["id", "text", "label", "customer", "segment", "created_at"].map(str::to_string);
    let fields = rows.iter().map(|row| {
        let ExampleRow { id, text, label, customer, segment, created_at, .. } = row;
        [id.clone(), text.clone(), label.clone(), customer.clone(), segment.clone(), created_at.to_string()]
    });
    written(std::iter::once(header).chain(fields))
}

/// Customers as CSV: `customer,name,email,phone,card,segment`.
pub fn customers_to_csv_bytes(customers: &[Customer]) -> Vec<u8> {
    let header = ["customer", "name", "email", "phone", "card", "segment"].map(str::to_string);
    let fields = customers.iter().map(|it| {
        let Customer { external_id, name, email, phone, card, segment } = it.clone();
        [external_id, name, email, phone, card, segment]
    });
    written(std::iter::once(header).chain(fields))
}

fn written(lines: impl Iterator<Item = [String; 6]>) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for line in lines {
        writer.write_record(&line).expect("writing to memory cannot fail, and every line has six fields");
    }
    writer.into_inner().expect("flushing to memory cannot fail")
}
