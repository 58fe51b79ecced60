"""The payment gateway: takes payments and refunds, coordinates their transactions, tells the merchant."""
